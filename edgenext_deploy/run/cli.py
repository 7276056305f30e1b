"""edgenext-run: an exported network's answers to photos or to a camera's frames."""
import os
from typing import TYPE_CHECKING, Any, Optional, Tuple

import click

from edgenext_deploy.camera.open import forms
from edgenext_deploy.commands.engine_argument import ENGINE, split_engine
from edgenext_deploy.commands.entry import INPUT, common_options, entry_point
from edgenext_deploy.commands.options import Command, FiniteRange, OutputFile, check_outputs, examples, json_options
from edgenext_deploy.commands.runtime_options import runtime_options, say_what_is_unused
from edgenext_deploy.errors import UsageError
from edgenext_deploy.remote.commands.on_option import on_option
from edgenext_deploy.run.live import LiveOptions, chosen_stream, live_options, run_live
from edgenext_deploy.run.photo_rows import ViewOptions
from edgenext_deploy.run.photos import PhotoOptions, run_photos
from edgenext_deploy.runtime.options import RuntimeOptions, for_many_photos

if TYPE_CHECKING:
    from edgenext_deploy.run.lettering import Lettering
    from edgenext_deploy.run.views import View


class _Command(Command):
    """The command; its help lists the kinds of sources as they are registered."""

    def format_help_text(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text under the usage line."""
        self.help = _HELP.format(forms=forms())
        super().format_help_text(context, formatter)


_HELP = """Run a classifier, detector or segmenter on photos or on the frames of a camera.

ENGINE is an ONNX file or a plan, with its manifest next to it.

IMAGE is a photo or a folder of photos, which are taken in the order of their names. A photo that cannot be read is
reported, the others go on, and the exit code is 3. An engine that was exported with --batch N takes N at a time; the
last batch is filled up.

STREAM is {forms}; a folder needs --stream. The command runs on the newest frame, again and again, until the stream
ends or Ctrl-C. `docs/camera.md` has the rules.

With --json and --json-file a stream gives one JSON object per line."""


@click.command(cls=_Command, epilog=examples(
    "edgenext-run xxs.onnx photo.jpg",
    "edgenext-run s_ssdlite.plan photos/ --save seen/",
    "edgenext-run xxs.plan csi://0 --serve 8080"))
@click.option("--engine", type=ENGINE, help="The same as the argument ENGINE.")
@click.argument("words", nargs=-1, type=INPUT, metavar="ENGINE IMAGE...|STREAM")
@click.option("--top", "--top-k", "--max-objects", "top", type=click.IntRange(1), metavar="N",
              help="At most N predictions, objects or classes per image.  [default: a classifier's 5; a detector's "
                   "limit in the manifest, often 200; all of a segmenter's]")
@click.option("--threshold", type=FiniteRange(0, 1), metavar="SCORE",
              help="Detector: report objects with a higher score.  [default: 0.3]  Classes that do not exclude each "
                   "other: the probability from which one is present.  [default: the manifest's]")
@click.option("--labels", type=INPUT, metavar="FILE",
              help="Class names, as lines, JSON or simple YAML; or 'imagenet1k'.  [default: the manifest's]")
@click.option("--font", type=INPUT, metavar="FILE",
              help="Font of the names that --save, --display and --serve draw.  [default: one of this system that has "
                   "the labels' letters]")
@click.option("--fast-decode", is_flag=True,
              help="Photos: decode large JPEG files at a half, a quarter or an eighth of their size, where that leaves "
                   "five times the sides that the network sees. The input of most photos differs by at most 2 grey "
                   "levels.")
@click.option("--readers", type=click.IntRange(1, 256), metavar="N",
              help="Photos: number of threads that read them; more than there are processors help where they come over "
                   "a slow network.  [default: the processor's]")
@click.option("--resume", type=OutputFile(), metavar="FILE",
              help="Photos: keep the row of each photo in FILE, a line each, as they come; and go on from there if the "
                   "run was interrupted.")
@click.option("--ray", metavar="ADDRESS",
              help="Photos: run on the nodes of a Ray cluster: auto for the one that this machine belongs to, local "
                   "for one of its own, or HOST:PORT. Engine and photos lie in a folder that all nodes share.")
@click.option("--anyway", is_flag=True, help="Show answers of random weights too; they mean nothing.")
@runtime_options()
@live_options
@json_options
@on_option("edgenext-run")
@common_options
def command(engine: Optional[str], words: Tuple[str, ...], top: Optional[int], threshold: Optional[float],
            labels: Optional[str], font: Optional[str], fast_decode: bool, readers: Optional[int],
            resume: Optional[str], ray: Optional[str], anyway: bool, runtime: RuntimeOptions, as_json: bool,
            json_file: Optional[str], **live: Any) -> int:
    """Run a network on photos or on a stream; `_HELP` is what the user reads."""
    engine, sources = split_engine(engine, words)
    say_what_is_unused(runtime, [engine])
    options = LiveOptions(**live)
    stream = chosen_stream(sources, options)
    check_outputs([("--json-file", json_file), ("--resume", resume)], [path for path in (labels, font) if path])
    given = _given_letters(font, options)
    if fast_decode and (stream is not None or options.save):
        raise UsageError("--fast-decode is for photos whose answers are not drawn: {}".format(
            "a stream's frames are taken as they come" if stream is not None else "--save needs every pixel"),
            "leave one of them out")
    for name, value in (("--resume", resume), ("--ray", ray), ("--readers", readers)):
        if value is not None and stream is not None:
            raise UsageError("{} is for photos, not for a stream".format(name), "leave {} out".format(name))
    photos = PhotoOptions(as_json, json_file, options.save, fast_decode, resume, ray, readers)
    if stream is None and (len(sources) > 1 or os.path.isdir(sources[0])):
        runtime = for_many_photos(runtime)
    view_options = ViewOptions(labels, top, threshold, anyway, runtime)
    if ray is not None:
        from edgenext_deploy.run.on_ray import run_photos_on_ray

        return run_photos_on_ray(engine, sources, view_options, photos)
    view = view_options.open(engine)
    with view.network:
        if stream is not None:
            view.network.require_single()
        if (options.save or options.display) and not view.drawable:
            raise UsageError("--save and --display draw answers, and features cannot be drawn",
                             "leave them out; --json-file keeps the features")
        if options.save or options.display or options.serve:
            _choose_letters(view, given)
        _warm_up(view)
        if stream is not None:
            return run_live(engine, stream, view, options, as_json, json_file)
        return run_photos(engine, sources, view, photos, view_options)


def _given_letters(font: Optional[str], options: LiveOptions) -> "Optional[Lettering]":
    """Return the font that was asked for, before seconds go into opening the engine."""
    from edgenext_deploy.run.lettering import Lettering

    if font is None:
        return None
    if not (options.save or options.display or options.serve):
        raise UsageError("--font is for the names that --save, --display and --serve draw",
                         "leave it out, or add --save")
    return Lettering(font)


def _choose_letters(view: "View", given: "Optional[Lettering]") -> None:
    """Find a font for the labels; say which letters it lacks, or which one it is, as that depends on the machine."""
    from edgenext_deploy.files import shown
    from edgenext_deploy.run.lettering import lettering_for

    labels = getattr(view.network, "labels", ())
    view.lettering = given or lettering_for(labels)
    lacking = view.lettering.lacks("".join(labels))
    if lacking:
        click.echo("note: {} letters of the labels are drawn as '?' ({}): {} lacks them; --font FILE gives another "
                   "font".format(len(lacking), shown("".join(lacking), 20),
                                 view.lettering.path or "every font found here"), err=True)
    elif given is None and view.lettering.path is not None:
        click.echo("note: labels are drawn with the font {}; --font FILE gives another".format(view.lettering.path),
                   err=True)


def _warm_up(view: "View") -> None:
    """Answer a plain picture, so that the first photo's times hold no import and no first run."""
    from PIL import Image, TiffImagePlugin, WebPImagePlugin  # noqa: F401 - else the first one has Pillow import 40 formats

    Image.preinit()  # imports the other decoders
    view.network([Image.new("RGB", (64, 64))])


main = entry_point(command)

if __name__ == "__main__":
    main()
