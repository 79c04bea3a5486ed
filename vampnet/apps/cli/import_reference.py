"""`vampnet import-reference`: a bundle from the authors' checkpoints."""

from __future__ import annotations

from vampnet.apps.cli.parser import CommandOptions, CommandParser


def import_reference_options(parser: CommandParser) -> None:
    """Flags of `vampnet import-reference`."""
    parser.add_argument("-o", "--output", type=str, required=True, help="bundle folder to write")
    parser.add_argument(
        "--codec", type=str, required=True, help="codec.pth, a .pth of Descript, or a transformers DacModel folder"
    )
    parser.add_argument("--coarse", type=str, default=None, help="coarse.pth; without both networks: the codec alone")
    parser.add_argument("--c2f", type=str, default=None, help="c2f.pth")
    parser.add_argument("--lora", type=str, default=None, help="LoRA .pth for the coarse model; replaces its pairs")
    parser.add_argument("--lora-c2f", type=str, default=None, help="the same for the coarse-to-fine model")
    parser.add_argument(
        "--keep-lora", action="store_true", help="keep LoRA pairs in BUNDLE/lora.safetensors, for --lora, unmerged"
    )
    parser.add_argument("--licence", type=str, default=None, help="licence text for the card (default: the authors')")
    parser.add_argument("--storage", type=str, default="float32", help="float32, bfloat16 or int8")
    parser.add_argument("--overwrite", action="store_true", help="replace the folder if it exists")


def run_import_reference(options: CommandOptions) -> None:
    """`vampnet import-reference`: the authors' checkpoints as a bundle."""
    from vampnet.models.import_reference import import_reference

    done = import_reference(
        options.output,
        options.codec,
        options.coarse,
        options.c2f,
        lora=options.lora,
        lora_c2f=options.lora_c2f,
        keep_lora=options.keep_lora,
        licence=options.licence,
        storage=options.storage,
        overwrite=options.overwrite,
    )
    print(f"wrote {done.folder}, codec {done.codec_id}; its README.md states the licence of the weights")
    if done.kept_lora:
        print(f"{done.n_pairs} LoRA pairs are in {done.kept_lora} and count only with --lora {done.kept_lora}")
    elif done.n_pairs:
        print(f"{done.n_pairs} LoRA pairs were added to the weights")
