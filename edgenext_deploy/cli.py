"""edgenext-run: classify photos, or a camera's frames, with an exported network."""
import json
import os
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Tuple

import click

from edgenext_deploy.command import common_options, entry_point
from edgenext_deploy.errors import BadInputError
from edgenext_deploy.live import LiveOptions, chosen_stream, live_options, run_live
from edgenext_deploy.live_report import RANDOM
from edgenext_deploy.photos import photos_in

if TYPE_CHECKING:
    from edgenext_deploy.classifier import Classifier


@click.command()
@click.option("--engine", required=True, type=click.Path(), help="ONNX file or plan, its .json manifest beside it.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(), metavar="IMAGE...|STREAM")
@click.option("--top-k", type=click.IntRange(1), default=5, show_default=True, help="Predictions an image.")
@click.option("--labels", type=click.Path(),
              help="Text file with one label a line, or 'imagenet1k'.  [default: the manifest's]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.  [default: all available]")
@click.option("--trust", is_flag=True, help="Accept a plan without a sidecar; it can run code.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; of a stream, one object a line.")
@live_options
@common_options
def command(engine: str, sources: Tuple[str, ...], top_k: int, labels: Optional[str], threads: Optional[int],
            trust: bool, as_json: bool, **live: Any) -> int:
    """Classify photos, or a camera's frames, with an exported network.

    IMAGE is a photo, or a folder: then every photo in it, sorted by name. A photo that cannot be read is
    reported, the others are classified, and the exit code is 3.

    STREAM is csi://0, /dev/video0, rtsp://HOST/PATH, a video file, or synthetic://640x480@30. Its newest frame is
    classified again and again until it ends, or Ctrl-C. `docs/camera.md` has the rules.
    """
    from edgenext_deploy.classifier import Classifier

    options = LiveOptions(**live)
    stream = chosen_stream(sources, options)
    with Classifier(engine, labels=labels, top_k=top_k, threads=threads, trust=trust) as classify:
        _warm_up(classify)
        if stream is not None:
            return run_live(engine, stream, classify, options, as_json)
        return _run_photos(engine, sources, classify, as_json)


def _run_photos(engine: str, images: Tuple[str, ...], classify: "Classifier", as_json: bool) -> int:
    results: List[Dict[str, Any]] = []
    if not as_json:
        _print_header(engine, classify)
    for argument in images:
        for result in _classify_all(classify, argument):
            results.append(result)
            if "error" in result:
                click.echo("error: " + _printable(result["error"]), err=True)
            elif not as_json:
                _print_table(result, classify.random_weights)
    if as_json:
        click.echo(json.dumps(_document(engine, classify, results), indent=2))
    return BadInputError.exit_code if any("error" in result for result in results) else 0


def _classify_all(classify: "Classifier", argument: str) -> Iterator[Dict[str, Any]]:
    """Classify one argument, which may be a folder; what cannot be read becomes a result with an error."""
    try:
        paths = photos_in(argument) if os.path.isdir(argument) else [argument]
    except BadInputError as error:
        yield {"image": argument, "error": str(error)}
        return
    for path in paths:
        try:
            yield _classify(classify, path)
        except BadInputError as error:
            yield {"image": path, "error": str(error)}


def _classify(classify: "Classifier", path: str) -> Dict[str, Any]:
    predictions = classify(path)
    timings = classify.timings
    assert timings is not None
    return {
        "image": path,
        "predictions": [prediction._asdict() for prediction in predictions],
        "preprocess_ms": round(timings.preprocess_ms, 3),
        "inference_ms": round(timings.inference_ms, 3),
    }


def _warm_up(classify: "Classifier") -> None:
    """Run once on zeros, so that the first photo's time is not the cost of the first run."""
    import numpy as np

    taken = classify.session.inputs[0]
    classify.session.infer(np.zeros(taken.shape, taken.dtype))


def _document(engine: str, classify: "Classifier", results: List[Dict[str, Any]]) -> Dict[str, Any]:
    document = {
        "engine": engine,
        "variant": classify.manifest.variant,
        "weights": classify.manifest.weights._asdict(),
        "random_weights": classify.random_weights,
        "session": classify.session.describe(),
        "images": results,
    }
    if classify.random_weights:
        document["warning"] = RANDOM
    return document


def _print_header(engine: str, classify: "Classifier") -> None:
    session = classify.session.describe()
    where = session.get("device") or "threads: {}".format(session["threads"])
    click.echo("{}: {}, {} {}, {}, {}".format(
        _printable(engine), classify.manifest.variant, session["runtime"], session["version"], session["provider"],
        where))
    if classify.random_weights:
        click.echo(RANDOM)


def _print_table(result: Dict[str, Any], random_weights: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    click.echo("\n{}{}".format(_printable(result["image"]),
                              " (random weights)" if random_weights else ""))
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("label")
    table.add_column("probability", justify="right")
    for rank, prediction in enumerate(result["predictions"], 1):
        table.add_row(str(rank), prediction["label"], "{:.2%}".format(prediction["probability"]))
    # Markup off: a label such as "[red]" is printed as it is.
    console = Console(markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    click.echo(capture.get(), nl=False)
    click.echo("preprocess {:.1f} ms, inference {:.1f} ms".format(
        result["preprocess_ms"], result["inference_ms"]))


def _printable(text: str) -> str:
    """Replace what cannot be written as UTF-8: the bytes of a file name in another encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")


main = entry_point(command)

if __name__ == "__main__":
    main()
