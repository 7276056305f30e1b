"""A COCO annotation file, every entry of it looked at before the first image: pycocotools fails after the last one."""
import math
import os
from typing import Any, Dict, Iterator

from edgenext_deploy.artifacts import json_records
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.files import shown

FIX = "give a COCO instances file with --labels"
# With the name of one entry.
_LISTS = {"images": "image", "categories": "category", "annotations": "annotation"}
# What pycocotools takes from every annotation, without asking whether it is there.
_ANNOTATION = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
_LARGEST = 1e9
_LARGEST_ID = 1 << 53
_LONGEST_NAME = 1000


def read_coco(path: str) -> Dict[str, Any]:
    """Return a COCO file whose images, categories and annotations have the fields, types and ranges that they should.

    Raises:
        BadInputError: missing, no such file, or an entry that cannot be used; the message names it.
    """
    document = json_records.read_file(path, "COCO file", FIX)
    for kind in _LISTS:
        entries = document.get(kind)
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise BadInputError("{} is not a COCO file: {} is missing or wrong".format(path, kind), FIX)
        seen = set()
        for number, entry in enumerate(entries, 1):
            problem = next(_problems(kind, entry), None)
            if problem is None and entry["id"] in seen:
                problem = "id {}, which comes twice".format(entry["id"])
            if problem is not None:
                raise BadInputError("{}: {} {} of {} has {}".format(
                    path, _LISTS[kind], number, len(entries), problem), FIX)
            seen.add(entry["id"])
    return document


def _problems(kind: str, entry: Dict[str, Any]) -> Iterator[str]:
    if kind == "annotations":
        missing = [field for field in _ANNOTATION if field not in entry]
        if missing:
            yield ("no {}; write it as COCO has it: area in square pixels, iscrowd 0 for a single object and 1 for "
                   "a crowd".format(", ".join(missing)))
            return
    for field in ("id", "image_id", "category_id") if kind == "annotations" else ("id",):
        if not _is_whole(entry.get(field)):
            yield "the {} {}, a whole number expected".format(field, _brief(entry.get(field)))
    if kind == "annotations":
        box = entry["bbox"]
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and min(box[2:]) >= 0):
            yield "the bbox {}, left, top, width and height in pixels expected".format(_brief(box))
        if not _is_number(entry["area"]) or entry["area"] < 0:
            yield "the area {}, square pixels expected".format(_brief(entry["area"]))
        if entry["iscrowd"] not in (0, 1) or not isinstance(entry["iscrowd"], (int, bool)):
            yield "the iscrowd {}, 0 or 1 expected".format(_brief(entry["iscrowd"]))
    else:
        field = "file_name" if kind == "images" else "name"
        name = entry.get(field)
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or "\0" in name:
            yield "the {} {}, a name expected".format(field, _brief(name))
        elif kind == "images" and (os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir):
            yield "the file_name {}, which leads out of --data".format(_brief(name))
    if kind == "images":
        for field in ("width", "height"):
            if entry.get(field) is not None and not (_is_whole(entry[field]) and entry[field] > 0):
                yield "the {} {}, pixels expected".format(field, _brief(entry[field]))


def _is_whole(value: Any) -> bool:
    # As text, an id would not be found again: pycocotools compares it with what the file has.
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            and abs(value) <= _LARGEST)


def _brief(value: Any) -> str:
    return shown(repr(value), 60)

