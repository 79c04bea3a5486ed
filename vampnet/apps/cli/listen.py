"""`vampnet listen create|serve|analyse`: listening tests."""

from __future__ import annotations

import json
import logging
import math
import sys
from pathlib import Path

from vampnet.apps.cli.options import add_actions, add_settings, settings_from
from vampnet.apps.cli.parser import CommandOptions, CommandParser


def listen_options(parser: CommandParser) -> None:
    """Flags of `vampnet listen`."""
    actions = add_actions(parser)
    for name, help_text, add_options, _ in ACTIONS:
        add_options(actions.add_parser(name, help=help_text, description=help_text))


def run_listen(options: CommandOptions) -> None:
    """`vampnet listen`: the action that was named."""
    run = {name: function for name, _, _, function in ACTIONS}[options.action]
    run(options)


def _create_options(parser: CommandParser) -> None:
    from vampnet.evaluation.listening.design import ListeningConfig

    parser.add_argument("conditions", type=str, help="folder with one folder of audio per condition, same file names")
    parser.add_argument("-o", "--output", type=str, required=True, help="folder to make; open its index.html")
    add_settings(parser, ListeningConfig, "Test")


def _run_create(options: CommandOptions) -> None:
    from vampnet.evaluation.listening.create import create_test
    from vampnet.evaluation.listening.design import ListeningConfig

    settings = settings_from(ListeningConfig, options)
    created = create_test(options.conditions, options.output, settings)
    test, level = created.test, created.loudness_lufs
    print(f"{options.output}: {settings.kind}, {len(test.trials)} trials, {created.n_bytes / 1e6:.1f} MB of audio")
    print(f"conditions: {', '.join(test.conditions)}")
    if not math.isfinite(level):
        print("levels are as they were: differences in loudness will show in the answers")
    elif level < settings.loudness_lufs - 0.05:
        print(f"loudness {level:.1f} LUFS instead of {settings.loudness_lufs:g}: above that a peak would clip")
    else:
        print(f"loudness {level:.1f} LUFS")
    print(f"open {Path(options.output) / 'index.html'}, put the folder but for test.json on a web server, or run:")
    print(f"vampnet listen serve {options.output}")


def _serve_options(parser: CommandParser) -> None:
    parser.add_argument("test", type=str, help="folder that `vampnet listen create` made")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one")
    parser.add_argument("--host", type=str, default="127.0.0.1", help="address to serve on; 0.0.0.0 for all")
    parser.add_argument(
        "--allow-origin",
        type=str,
        default="",
        help="site whose pages may send results here, such as https://example.org",
    )
    parser.add_argument(
        "--allow-host", action="append", default=None, metavar="NAME", help="name of this server for others; repeatable"
    )
    parser.add_argument(
        "--database", type=str, default=None, help="SQLite file for the results; default: results.sqlite in the test"
    )


def _run_serve(options: CommandOptions) -> None:
    from vampnet.evaluation.listening.serve import ListeningServer

    database = options.database or Path(options.test) / "results.sqlite"
    with ListeningServer(
        options.test, database, options.host, options.port, options.allow_origin, options.allow_host or ()
    ) as server:
        print(f"{server.url}  {server.store.count()} results in {database}; Ctrl-C ends", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print(f"{server.store.count()} results in {database}")


def _analyse_options(parser: CommandParser) -> None:
    parser.add_argument("test", type=str, help="folder that `vampnet listen create` made")
    parser.add_argument("results", type=str, help="database of `vampnet listen serve`, or folder of downloaded results")
    parser.add_argument("-o", "--output", type=str, default=None, help="report.html; .csv and .json are put beside it")
    parser.add_argument("--json", action="store_true", help="print the analysis as JSON")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")


def _run_analyse(options: CommandOptions) -> None:
    from vampnet.evaluation.listening.analyse import analyse
    from vampnet.evaluation.listening.design import load_test
    from vampnet.evaluation.listening.report import check_output, summary, write_report
    from vampnet.evaluation.listening.results import load_results

    if options.output:
        check_output(options.output)
    test = load_test(options.test)
    results, refused = load_results(test, options.results)
    for line in refused:
        print(f"left out: {line}", file=sys.stderr)
    analysis = analyse(test, results, options.seed)
    if options.output:
        written = write_report(options.output, test, analysis, refused)
        logging.getLogger("vampnet").info("wrote %s", ", ".join(map(str, written)))
    print(json.dumps(analysis.to_json(), indent=1) if options.json else summary(analysis))


ACTIONS = (
    ("create", "Make a listening test, a web page, from folders of audio.", _create_options, _run_create),
    ("serve", "Serve a listening test and collect its results.", _serve_options, _run_serve),
    ("analyse", "Analyse the results of a listening test.", _analyse_options, _run_analyse),
)
