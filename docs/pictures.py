"""Make the pictures of README and docs again, with the project's own commands: ``make pictures``.

Usage: ``python docs/pictures.py [FOLDER]``, by default docs/pictures. The demo, the bench report and the drift plot are
what the commands print and draw. The detector and the segmenter are those of the tests: small networks, trained on
rendered shapes (tests/data/README.md), because random weights would find nonsense and no trained one is shipped.
"""
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import shapes  # noqa: E402
from PIL import Image  # noqa: E402
from rich.console import Console  # noqa: E402

from edgenext_deploy.export.api import export_onnx  # noqa: E402

BIN = Path(sys.executable).parent
COLUMNS = 104
SCENES = 3  # the first held-out ones, as they come
ENLARGED = 3  # the scenes are 120x90 pixels
# rich's own page asks the reader's browser to fetch a font; this one takes what is there.
PAGE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: {char_height}px;
line-height: {line_height}px; font-variant-east-asian: full-width; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
<rect fill="#292929" width="{width}" height="{height}" rx="8"/>
<g transform="translate({terminal_x}, 14)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def run(folder: Path, *command: str) -> str:
    """Run one of the project's commands in a folder; return what it printed, on a terminal of COLUMNS."""
    environment = dict(os.environ, COLUMNS=str(COLUMNS), PATH="{}:{}".format(BIN, os.environ["PATH"]))
    done = subprocess.run(command, cwd=str(folder), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    if done.returncode:
        sys.exit("{} ended with {}:\n{}{}".format(" ".join(command), done.returncode, done.stdout, done.stderr))
    return done.stdout


def terminal(command: str, output: str, unique_id: str) -> str:
    """Return a command and what it printed as an SVG file."""
    lines = [part for line in output.strip("\n").splitlines()
             for part in textwrap.wrap(line, COLUMNS, drop_whitespace=False, subsequent_indent="  ") or [""]]
    lines = [line.rstrip() for line in lines]
    width = max(len(line) for line in [*lines, command]) + 2
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor",
                      highlight=False, markup=False)
    console.print("$ " + command, style="bold")
    for line in lines:
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    return console.export_svg(code_format=PAGE, unique_id=unique_id)


def draw_shapes(folder: Path, variant: str, labels: "tuple[str, ...]", save: Path) -> None:
    """Let edgenext-run look at held-out scenes with one of the trained networks; save what it drew side by side."""
    (folder / "scenes").mkdir(exist_ok=True)
    images = shapes.held_out_scenes()[0]
    for number in range(SCENES):
        scene = Image.fromarray(images[number])
        scene = scene.resize((scene.width * ENLARGED, scene.height * ENLARGED), Image.BICUBIC)
        scene.save(str(folder / "scenes" / "{:02}.png".format(number)))
    (folder / "labels.txt").write_text("\n".join(labels) + "\n")
    with shapes.registered(), contextlib.redirect_stdout(io.StringIO()):
        export_onnx(variant, str(folder), weights=shapes.weights_file(variant), num_classes=shapes.CLASSES[variant],
                    labels=str(folder / "labels.txt"))
    shutil.rmtree(str(folder / "drawn"), ignore_errors=True)
    run(folder, "edgenext-run", variant + ".onnx", "scenes", "--save", "drawn/")
    drawn = [Image.open(str(path)).convert("RGB") for path in sorted((folder / "drawn").iterdir())]
    sheet = Image.new("RGB", (sum(picture.width for picture in drawn) + 8 * (len(drawn) - 1), drawn[0].height), "white")
    left = 0
    for picture in drawn:
        sheet.paste(picture, (left, 0))
        left += picture.width + 8
    sheet.save(str(save), quality=80)


def live_page(folder: Path, save: Path) -> None:
    """Let edgenext-run serve one of the scenes, played as a stream; save what a browser shows of the page."""
    import browser

    trouble = browser.missing()
    if trouble is not None:
        print("{} is as it was: {}; make debian installs it".format(save.name, trouble))
        return
    (folder / "played").mkdir(exist_ok=True)
    for number in range(200):
        shutil.copy(str(folder / "scenes" / "02.png"), str(folder / "played" / "{:03}.png".format(number)))
    child = subprocess.Popen(
        [str(BIN / "edgenext-run"), "shapes_ssdlite.onnx", "played", "--stream", "--fps", "15", "--serve", "0"],
        cwd=str(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True)
    try:
        assert child.stderr is not None
        line = child.stderr.readline()
        with browser.Browser(1040, 640) as page:
            page.open(line.split()[-1])
            page.wait("document.getElementById('state').textContent === 'live'")
            page.wait("+document.getElementById('processed').textContent > 100")
            page.screenshot(folder / "page.png")
    finally:
        child.terminate()
        child.communicate()
    Image.open(str(folder / "page.png")).convert("RGB").save(str(save), quality=80)


def boards(folder: Path, save: Path) -> None:
    """Let edgenext-remote measure on two SSH servers of the tests; save what it printed, up to the comparison."""
    sys.path.insert(0, str(ROOT / "tests" / "real" / "remote"))
    import ssh_boards

    if ssh_boards.WHY_NOT is not None:
        print("{} is as it was: {}".format(save.name, ssh_boards.WHY_NOT))
        return
    (folder / "desk").mkdir()
    desk = ssh_boards.Desk(folder / "desk")
    try:
        for name in ("board1", "board2"):
            desk.add(name)
        words = ("board1", "board2", "bench", "--variant", "icons")
        code, out, err = desk.run(*words)
    finally:
        desk.close()
    if code:
        sys.exit("edgenext-remote ended with {}:\n{}".format(code, err))
    save.write_text(terminal("edgenext-remote " + " ".join(words), err + "\n" + out.partition("\n\n")[0], "remote"),
                    encoding="utf-8")


def main() -> None:
    """Make every picture."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "pictures").resolve()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        demo = run(folder, sys.executable, str(ROOT / "examples" / "demo.py"))
        (target / "demo.svg").write_text(terminal("make demo", demo, "demo"), encoding="utf-8")
        answers = Image.open(str(folder / "demo" / "answers.png")).convert("RGB")
        answers.resize((720, 360), Image.LANCZOS).save(str(target / "answers.jpg"), quality=80)
        draw_shapes(folder, "shapes_ssdlite", shapes.SHAPES, target / "detection.jpg")
        live_page(folder, target / "live_view.jpg")
        draw_shapes(folder, "shapes_deeplabv3", ("background", *shapes.SHAPES), target / "segmentation.jpg")
        boards(folder, target / "remote.svg")
        run(folder, "edgenext-export", "icons", "--fp16", "--drift", "--output", "fp16")
        shutil.copy(str(folder / "fp16" / "icons.drift.svg"), str(target / "drift.svg"))
        for variant in ("xxs", "xs", "s"):
            run(folder, "edgenext-export", variant)
        command = ["edgenext-bench", "xxs.onnx", "xs.onnx", "s.onnx", "--threads", "1", "--duration", "6"]
        bench = run(folder, *command, "--no-samples")
        (target / "bench.svg").write_text(terminal(" ".join(command), bench, "bench"), encoding="utf-8")
    for path in sorted(target.iterdir()):
        print("{:<20} {:>7} bytes".format(path.name, path.stat().st_size))


if __name__ == "__main__":
    main()
