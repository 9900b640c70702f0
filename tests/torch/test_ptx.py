"""Every variant of the Triton kernels compiles for sm_90 without a GPU, and its PTX shows that nothing is fused.

This is the witness that the interpreter cannot give: it runs NumPy, which never fuses, and divides exactly.
"""

import itertools
import re

import pytest
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from frcnn.backends.torch import launch, tiles

TYPES = {"float32": ("*fp32", False), "float16": ("*fp16", False), "bfloat16": ("*i16", True)}
TILES = {"project": {"ROIS": 128}, "gather": {"ROIS": 1, "CELLS": 8, "BLOCK_C": 64}}
BIN_TILE = {"BINS": 1, "BLOCK_C": 128}

# An instruction on floating-point numbers, from its name to its last type.
FLOATING = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z]\w*(?:[.:]\w+)*\.(?:f16|f32|f64|bf16)(?:\.\w+)*)\s", re.MULTILINE)
# Exact, or rounded once as IEEE has it. floor and ceil flush subnormal numbers first (.ftz), which no result here can
# tell: floor takes none that is negative, and ceil none at all, since (p + 1) n / P and (k + 1) P / n exceed 2^-31.
EXACT = re.compile(
    r"(ld|st|mov|selp|setp|abs|neg|atom|red|shfl)\.|(mul|add|sub|div)\.rn\.f32$|cvt\.rn\.(f32\.[su]32|f32\.[su]64|f16\.f32)$"
    r"|cvt\.f32\.f16$|cvt\.r[mp]i\.ftz\.f32\.f32$|cvt\.rzi\.s(32|64)\.f(16|32)$"
)


def ptx(kernel, type_name="float32", fusion=False, warps=4, multiples=(), **constants):
    """The kernel's PTX for an H100 with features, or their gradients, of this type.

    multiples: the arguments that Triton is told to be multiples of 16. constants: those that the kernel has count.
    """
    pointer, bf16 = TYPES[type_name]
    constants = {name: value for name, value in ({"BF16": bf16} | constants).items() if name in kernel.arg_names}
    types = dict.fromkeys(("boxes", "features", "grad", "output"), pointer)
    types |= dict.fromkeys(("rois", "table", "argmax"), "*i32") | {"grad_features": "*fp32", "scale": "fp32"}
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    hints = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in multiples}
    source = ASTSource(kernel, signature, constants, hints)
    options = {"enable_fp_fusion": fusion, "num_warps": warps}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]


def variants():
    for flags in itertools.product((False, True), repeat=2):
        yield "spans", "float32", dict(zip(("OF_CELLS", "CAFFE"), flags, strict=True)) | {"ITEMS": 256}
    for type_name, flag in itertools.product(TYPES, (False, True)):
        yield "project", type_name, {"DROP_MALFORMED": flag, **TILES["project"]}
        yield "scatter", type_name, {"CAFFE": flag, **BIN_TILE}
        yield "gather", type_name, {"CAFFE": flag, **TILES["gather"]}
        for with_argmax in (False, True):
            yield "forward", type_name, {"CAFFE": flag, "WITH_ARGMAX": with_argmax, **BIN_TILE}
            few = {**BIN_TILE, "BINS": 16, "BLOCK_C": 8}
            yield "forward", type_name, {"CAFFE": flag, "WITH_ARGMAX": with_argmax, **few}


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize(("name", "type_name", "constants"), list(variants()))
def test_a_variant_compiles_and_fuses_and_approximates_nothing(name, type_name, constants):
    text = ptx(getattr(launch.kernels(False), name), type_name, **constants)
    used = set(FLOATING.findall(text))
    assert bool(used) == (name != "spans" or constants["CAFFE"])  # exact edges are whole numbers
    inexact = {instruction for instruction in used if not EXACT.match(instruction)}
    assert not inexact
    # Atomic additions to memory flush subnormal numbers: roi-pool.backward-sum, outside the deterministic mode.
    assert any(re.match(r"(atom|red)\.", instruction) for instruction in used) == (name == "scatter")
    # An order of the compiler's own has no place in a sum or a choice either.
    assert not re.search(r"\b(fma|mad)\.[\w.]*f(16|32)|\b(min|max)\.[\w.]*f(16|32)|div\.(full|approx)|rcp\.", text)


def test_the_check_would_see_a_fused_product():
    """With fusion allowed, project's size - floor(size) takes the product of the projection into an fma."""
    text = ptx(launch.kernels(False).project, fusion=True, DROP_MALFORMED=False, **TILES["project"])
    assert not all(EXACT.match(instruction) for instruction in set(FLOATING.findall(text)))


def tuned():
    """Every tile that tuning tries, with the kernel that may have it."""
    for name, configs in (("forward", tiles.BINS), ("scatter", tiles.BINS), ("gather", tiles.CELLS)):
        for config in configs:
            yield pytest.param(name, config, id=f"{name}, {config}")


@pytest.mark.parametrize(("name", "config"), list(tuned()))
def test_every_tile_compiles_reads_channels_last_by_the_vector_and_divides_no_int64(name, config):
    """As Triton sees a call with 512 channels, one after the other: every pointer and stride is a multiple of 16."""
    kernel = getattr(launch.kernels(False), name)
    constants = {"CAFFE": False, "WITH_ARGMAX": True, **config.kwargs}
    constants |= dict.fromkeys(("in_c", "out_c", "grad_c", "arg_c", "to_c"), 1)
    kept_from = {param.name for param in kernel.params if param.do_not_specialize or param.is_constexpr}
    multiples = set(kernel.arg_names) - kept_from - set(constants)
    text = ptx(kernel, warps=config.num_warps, multiples=multiples, **constants)
    others, channels = (config.kwargs[key] for key in ("BINS" if "BINS" in config.kwargs else "CELLS", "BLOCK_C"))
    vector = min(4, channels, others * channels // (32 * config.num_warps))
    assert vector == 1 or f"ld.global.v{vector}.b32" in text
    assert not re.search(r"(div|rem)\.[su]64", text)  # some hundred instructions each, a call in the machine's code
