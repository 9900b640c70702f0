"""The tiles that Triton's kernels may run with: no bit depends on them, and the fastest is found once."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget

from frcnn.backends.torch import launch, tiles

PROFILES = pytest.mark.parametrize("profile", ["exact", "caffe-2015"])


@pytest.fixture(scope="module")
def call():
    """Whole numbers, so that every order of addition gives the same."""
    rng = np.random.default_rng(2)
    input = torch.from_numpy(rng.integers(-3, 4, (2, 5, 4, 5)).astype(np.float32))
    corners = np.sort(rng.integers(-2, 6, (4, 2, 2)), axis=1).reshape(4, 4)
    rows = np.column_stack([[0, 1, 1, 0], corners])
    return input, torch.from_numpy(rows.astype(np.float32)), 3, 2, 0.9


@PROFILES
def test_every_tile_of_sub_windows_gives_the_same_bits(call, profile, monkeypatch):
    input, boxes = call[:2]
    expected = launch.forward(*call, profile, True, True)
    back = launch.backward(*expected, boxes, input.shape, call[4], profile, False)
    assert back.any()
    over_bins = tiles.over_bins
    for config in tiles.BINS:
        monkeypatch.setattr(tiles, "over_bins", with_tile(over_bins, config))
        assert all(map(torch.equal, launch.forward(*call, profile, True, True), expected)), config
        again = launch.backward(*expected, boxes, input.shape, call[4], profile, False)
        assert torch.equal(again, back), config


@PROFILES
def test_every_tile_of_cells_adds_up_in_the_same_order(call, profile, monkeypatch):
    input, boxes = call[:2]
    _, argmax = launch.forward(*call, profile, True, True)
    grad = torch.from_numpy(np.random.default_rng(3).standard_normal(argmax.shape, np.float32))
    over_cells, found = tiles.over_cells, []
    for config in tiles.CELLS:
        monkeypatch.setattr(tiles, "over_cells", with_tile(over_cells, config))
        found.append(launch.backward(grad, argmax, boxes, input.shape, call[4], profile, True))
        assert torch.equal(found[-1], found[0]), config
    assert found[0].any()


def with_tile(chosen, config):
    """`chosen`, with this tile put in place of the interpreter's."""

    def instead(*arguments):
        run, constants = chosen(*arguments)
        return run, constants | config.kwargs

    return instead


class Gpu:
    """A driver without a GPU, where a launch adds 1 to every tensor and takes as long as `seconds` says of its tile."""

    def __init__(self, kernel, seconds, monkeypatch):
        self.launched, self.seconds = [], seconds
        monkeypatch.setattr(kernel, "run", self.run)
        monkeypatch.setattr(triton.runtime.driver, "_active", self)

    def run(self, *arguments, grid, **constants):
        self.launched.append((grid(constants), constants))
        for argument in arguments:
            if isinstance(argument, torch.Tensor):
                argument += 1

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_benchmarker(self):
        def measured(launch_once, quantiles):
            launch_once()
            return [self.seconds(self.launched[-1][1])] * len(quantiles)

        return measured


@pytest.fixture(autouse=True)
def a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    tiles._tuned.cache_clear()
    yield
    tiles._tuned.cache_clear()


def launched(kernel, chosen, C=512, total=0):
    """Launch what was chosen with all that tuning looks at, and zeros for the rest."""
    run, constants = chosen
    given = {"C": C, "grad_features": total}
    run(*(given.get(name, 0) for name in kernel.arg_names[: kernel.arg_names.index("CAFFE")]), **constants)


def pool(R, C=512, channels_last=True):
    kernel = launch.kernels(False).forward
    run, constants = tiles.over_bins(kernel, (R, C, 7, 7), False, channels_last)
    launched(kernel, (run, constants | {"WITH_ARGMAX": True}), C)


def test_a_large_call_is_measured_once_for_its_kind_and_then_takes_the_fastest_tile(monkeypatch):
    best = tiles.BINS[7].kwargs
    gpu = Gpu(launch.kernels(False).forward, lambda tile: 1 if best.items() <= tile.items() else 2, monkeypatch)
    pool(2000)
    assert len(gpu.launched) == len(tiles.BINS) + 1
    for R in (2000, 1900):
        pool(R)
        grid, constants = gpu.launched[-1]
        assert best.items() <= constants.items()
        assert grid == (-(-R * 49 // best["BINS"]), 512 // best["BLOCK_C"])
    assert len(gpu.launched) == len(tiles.BINS) + 3
    tiles._tuned.cache_clear()  # another process finds it on the disk
    pool(2000)
    assert len(gpu.launched) == len(tiles.BINS) + 4
    assert best.items() <= gpu.launched[-1][1].items()
    for other in ({"R": 128}, {"R": 2000, "C": 256}, {"R": 2000, "channels_last": False}):
        before = len(gpu.launched)
        pool(**other)
        assert len(gpu.launched) > before + len(tiles.BINS) // 2


def test_a_tile_of_twice_the_channels_that_there_are_is_not_tried(monkeypatch):
    gpu = Gpu(launch.kernels(False).forward, lambda tile: 1, monkeypatch)
    pool(20_000, C=16)
    assert {constants["BLOCK_C"] for _, constants in gpu.launched} == {1, 4, 16}


def test_a_tile_so_narrow_that_cuda_could_not_launch_it_is_not_tried(monkeypatch):
    gpu = Gpu(launch.kernels(False).forward, lambda tile: 1, monkeypatch)
    pool(1, C=200_000)
    assert max(channel_blocks for (_, channel_blocks), _ in gpu.launched) <= 65535


def test_a_small_call_is_not_measured(monkeypatch):
    gpu = Gpu(launch.kernels(False).forward, lambda tile: 1, monkeypatch)
    pool(30)
    assert [(grid, constants["KIND"]) for grid, constants in gpu.launched] == [((30 * 49, 4), 0)]


def test_what_is_added_to_is_zero_again_after_measuring(monkeypatch):
    kernel, total = launch.kernels(False).scatter, torch.zeros(3)
    gpu = Gpu(kernel, lambda tile: 1, monkeypatch)
    for calls in (1, 2):
        launched(kernel, tiles.over_bins(kernel, (2000, 512, 7, 7), False, True), total=total)
        assert total.tolist() == [calls] * 3
    assert len(gpu.launched) == len(tiles.BINS) + 2


def test_two_threads_that_tune_at_once_each_add_to_their_own(monkeypatch):
    """As autograd's, one for each GPU. While it tunes, Triton's Autotuner keeps the arguments of one call in itself."""
    kernel = launch.kernels(False).scatter
    gpu = Gpu(kernel, lambda tile: time.sleep(1e-3) or 1, monkeypatch)
    totals = [torch.zeros(3) for _ in range(4)]

    def backward(total, R):
        launched(kernel, tiles.over_bins(kernel, (R, 512, 7, 7), False, True), total=total)

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(backward, total, R) for total, R in zip(totals, (2000, 2000, 300, 40), strict=True)]:
            done.result()
    assert [total.tolist() for total in totals] == [[1.0] * 3] * 4
    assert len(gpu.launched) > 2 * len(tiles.BINS)


def test_gather_is_measured_by_the_outputs_whose_gradients_it_takes(monkeypatch):
    kernel = launch.kernels(False).gather
    gpu = Gpu(kernel, lambda tile: tile["CELLS"], monkeypatch)
    for outputs, measured in ((2**20 - 1, False), (2**20, True)):
        before = len(gpu.launched)
        launched(kernel, tiles.over_cells(kernel, (2, 512, 38, 57), outputs, False, True))
        assert len(gpu.launched) - before == (len(tiles.CELLS) + 1 if measured else 1)
    grid, constants = gpu.launched[-1]
    assert (constants["CELLS"], constants["ROIS"]) == (1, 1)
    assert grid == (2 * 38 * 57, 512 // constants["BLOCK_C"])


def test_more_sub_windows_than_int32_counts_are_refused():
    with pytest.raises(NotImplementedError, match="int32"):
        tiles.over_bins(launch.kernels(False).forward, (2**31 // 49 + 1, 1, 7, 7), False, True)
    with pytest.raises(NotImplementedError, match="int32"):
        tiles.over_cells(launch.kernels(False).gather, (1, 1, 2**31 - 1, 1), 1, False, True)
