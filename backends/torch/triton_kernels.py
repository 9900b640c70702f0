"""RoI pooling in Triton: projection, grid, forward, Eq. 4 backward in two ways. Device code only; launch.py calls it.

Symbols as in spec/roi-pool.md: N images, C channels, map H x W; R RoIs; output grid P_h x P_w. A tile is
[BINS, BLOCK_C] (the bins of all RoIs counted through, times channels) or [ROIS, CELLS, BLOCK_C] (RoIs, times cells of
one map, times channels); tiles.py chooses it, and tells calls apart by KIND, of which no code here takes notice. A RoI
on the map is five int32: image, r, c, h, w; image -1 where it must not be pooled.

Bytes moved, with s the size of a feature and A the mean number of cells in a sub-window:
    project    reads 5 R s_boxes; writes 20 R.
    spans      reads 20 R; writes 8 R (P_h + P_w) for forward, 8 R (H + W) for backward.
    forward    reads A R P_h P_w C s, mostly from the cache (the map itself is N C H W s), and 20 a bin and tile;
               writes R P_h P_w C (s + 4), the 4 being the argmax, absent without it.
    scatter    reads R P_h P_w C (s + 4); adds 4 atomically for each winner, into 4 N C H W zeros.
    gather     reads C (s + 4) for each bin that meets a tile of cells, 4 R a tile and 16 a RoI of its image and cell;
               writes 4 N C H W once.
A division is some hundred instructions on a GPU, as much as all else that a sub-window of a few cells needs. So spans
divides once for each RoI and row or column, not forward and gather for each block of channels.

C is not kept from being specialised: where 16 divides it no vector reaches past it, and with channels last a thread
reads and writes four at a time.

Arithmetic that decides which cell is in which bin is IEEE float32 or integer, never fused, never approximate: tl.div_rn
(Triton's `/` is not IEEE), launched with enable_fp_fusion=False (else size - floor(size) would be one fma with the
projection's product). A product of a bin and an extent, up to 2^25 + 1, is int64. A test reads the PTX for all of it.

What shaped this file besides the GPU is Triton's interpreter, which runs the same source on the CPU:
- An operation costs 10 to 80 us there whatever its size, a call of a jitted helper 1 ms (triton.language is patched
  anew) and a program the sum of its operations. So tiles are parameters, large there, and few helpers are called.
- Nothing here calls triton.language's own jitted functions (tl.max, tl.zeros, tl.cdiv): whether those are interpreted
  was settled when triton was first imported, not when this module was. tl.reduce with tl.standard._elementwise_max is
  known to both.
- A bfloat16 tensor arrives as int16 and is widened by a shift, exact everywhere: the interpreter's own conversion
  garbles subnormal numbers, and its conversion back truncates. Sums therefore leave as float32.
- A Python float is not rounded to float32 on its way in; tl.full does that in both.
- Loop variables are plain Python numbers there, so tl.cast, not .to.
Maxima are compares and tl.where, for tl.max and tl.maximum leave NaN and the sign of zero to the machine.
"""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["R", "N"])
def project(
    boxes,
    rois,
    scale,
    R,
    N,
    stride_r,
    stride_k,
    BF16: tl.constexpr,
    DROP_MALFORMED: tl.constexpr,
    ROIS: tl.constexpr,
):
    """Take boxes (R, 5) to rois (R, 5).

    DROP_MALFORMED is for the original's backward pass, which gives a malformed RoI no gradient.
    Clauses: roi-pool.projection, roi-pool.round, roi-pool.extent, roi-pool.unchecked, roi-pool.backward-dropped.
    """
    i = tl.program_id(0) * ROIS + tl.arange(0, ROIS)
    here = i < R
    row = boxes + tl.cast(i, tl.int64) * stride_r
    index = tl.load(row, mask=here, other=0)
    k = tl.arange(0, 4)
    box = tl.load(row[:, None] + (1 + k)[None, :] * stride_k, mask=here[:, None], other=0)
    if BF16:
        index = (index.to(tl.int32) << 16).to(tl.float32, bitcast=True)
        box = (box.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    index, box = index.to(tl.float32), box.to(tl.float32)

    corner = box * tl.full((1, 1), scale, tl.float32)
    good = (tl.abs(box) <= 16777216.0) & (tl.abs(corner) <= 16777216.0)  # 2^24; NaN is not good
    size = tl.where(good, tl.abs(corner), 0.0)
    whole = tl.floor(size)
    away = tl.where(size - whole >= 0.5, 1, 0)  # the subtraction is exact, so no x + .5 is ever rounded
    rounded = whole.to(tl.int32) + away
    rounded = tl.where(corner < 0, -rounded, rounded)
    rounded = tl.where(good, rounded, 1 << 30)  # more than any good corner
    xs, ys = tl.split(tl.reshape(rounded, (ROIS, 2, 2)))
    x1, x2 = tl.split(xs)
    y1, y2 = tl.split(ys)

    usable = tl.maximum(tl.maximum(x1, x2), tl.maximum(y1, y2)) < (1 << 30)
    usable = usable & (index >= 0) & (index < 1073741824.0) & (tl.floor(index) == index)
    image = tl.where(usable, index, -1.0).to(tl.int32)
    usable = usable & (image < N)
    if DROP_MALFORMED:
        usable = usable & (x2 >= x1) & (y2 >= y1)
    out = rois + tl.cast(i, tl.int64) * 5
    tl.store(out, tl.where(usable, image, -1), mask=here)
    tl.store(out + 1, y1, mask=here)
    tl.store(out + 2, x1, mask=here)
    tl.store(out + 3, tl.maximum(y2 - y1 + 1, 1), mask=here)
    tl.store(out + 4, tl.maximum(x2 - x1 + 1, 1), mask=here)


@triton.jit(do_not_specialize=["R", "H", "W", "P_h", "P_w"])
def spans(
    rois,
    table,
    R,
    H,
    W,
    P_h,
    P_w,
    OF_CELLS: tl.constexpr,
    CAFFE: tl.constexpr,
    ITEMS: tl.constexpr,
):
    """Which cells are in a bin, and the reverse, along one axis: pairs of a first and an end, for rows, then columns.

    Not OF_CELLS, table is (R, P_h + P_w, 2): the cells of each row of bins, then of each column, cut to the map.
    OF_CELLS, it is (R, H + W, 2): the bins that hold each row of cells, then each column. Pairs of a RoI that must not
    be pooled are empty. Clauses: roi-pool.grid, roi-pool.clip, roi-pool.backward-dropped.
    """
    high, wide = P_h, P_w
    if OF_CELLS:
        high, wide = H, W
    at = tl.cast(tl.program_id(0), tl.int64) * ITEMS + tl.arange(0, ITEMS)
    i, k = at // (high + wide), (at % (high + wide)).to(tl.int32)
    there, in_rows = i < R, k < high
    k = tl.where(in_rows, k, k - high)
    cells, bins = tl.where(in_rows, H, W), tl.where(in_rows, P_h, P_w)
    roi = rois + i * 5
    usable = tl.load(roi, mask=there, other=-1) >= 0
    start = tl.load(roi + tl.where(in_rows, 1, 2), mask=there, other=0)
    extent = tl.load(roi + tl.where(in_rows, 3, 4), mask=there, other=1)
    if OF_CELLS:
        usable = usable & (k >= start) & (k < start + extent)
        k = tl.where(usable, k - start, 0)
    if CAFFE:  # float32 divides, so that a cell's bins are not always those it is in: roi-pool.backward-dropped
        size = tl.div_rn(tl.cast(extent, tl.float32), tl.cast(bins, tl.float32))
        first, end = tl.cast(k, tl.float32), tl.cast(k + 1, tl.float32)
        if OF_CELLS:
            first, end = tl.div_rn(first, size), tl.div_rn(end, size)
        else:
            first, end = first * size, end * size
        first, end = tl.floor(first).to(tl.int32), tl.ceil(end).to(tl.int32)
    else:  # floor(k a / b) to ceil((k + 1) a / b)
        a, b = extent, bins
        if OF_CELLS:
            a, b = bins, extent
        before = tl.cast(k, tl.int64) * a
        first, end = (before // b).to(tl.int32), ((before + a + b - 1) // b).to(tl.int32)
    if OF_CELLS:
        end = tl.minimum(end, bins)
    else:
        first, end = tl.maximum(start + first, 0), tl.minimum(start + end, cells)
    tl.store(table + 2 * at, first, mask=there)
    tl.store(table + 2 * at + 1, tl.where(usable, end, first), mask=there)


@triton.jit(do_not_specialize=["R", "H", "W", "P_h", "P_w", "KIND"])
def forward(
    features,
    rois,
    table,
    output,
    argmax,
    R,
    C,
    H,
    W,
    P_h,
    P_w,
    in_n,
    in_c,
    in_h,
    in_w,
    out_r,
    out_c,
    out_h,
    out_w,
    CAFFE: tl.constexpr,
    BF16: tl.constexpr,
    WITH_ARGMAX: tl.constexpr,
    KIND,
    BINS: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Pool features into output and, WITH_ARGMAX, argmax; table is spans', not OF_CELLS.

    Clauses: roi-pool.empty, roi-pool.max, roi-pool.argmax, roi-pool.argmax-optional, roi-pool.tie, roi-pool.nan,
    roi-pool.infinity, roi-pool.unchecked.
    """
    b = tl.program_id(0) * BINS + tl.arange(0, BINS)
    i, p, q = b // (P_h * P_w), b // P_w % P_h, b % P_w
    there = i < R
    image = tl.load(rois + tl.cast(i, tl.int64) * 5, mask=there, other=-1)
    of_roi = table + tl.cast(i, tl.int64) * (2 * (P_h + P_w))
    of_rows, of_columns = of_roi + 2 * p, of_roi + 2 * (P_h + q)
    top, bottom = tl.load(of_rows, mask=there, other=0), tl.load(of_rows + 1, mask=there, other=0)
    left, right = tl.load(of_columns, mask=there, other=0), tl.load(of_columns + 1, mask=there, other=0)
    filled = (top < bottom) & (left < right)
    rows = tl.reduce(tl.where(filled, bottom - top, 0), 0, tl.standard._elementwise_max)
    columns = tl.reduce(tl.where(filled, right - left, 0), 0, tl.standard._elementwise_max)

    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    in_channel = (channel < C)[None, :]
    channel = tl.cast(channel, tl.int64)[None, :]
    source = tl.cast(image, tl.int64) * in_n + tl.cast(top, tl.int64) * in_h + tl.cast(left, tl.int64) * in_w
    source = features + (source[:, None] + channel * in_c)
    first = (top * W + left)[:, None]
    if CAFFE:  # the original's maximum starts from -FLT_MAX and no cell
        best = tl.full((BINS, BLOCK_C), -3.4028234663852886e38, tl.float32)
        winner = tl.full((BINS, BLOCK_C), -1, tl.int32)
    else:  # the first cell, should all be -inf
        best = tl.full((BINS, BLOCK_C), float("-inf"), tl.float32)
        winner = tl.where(filled[:, None] & in_channel, first, -1)
    for y in range(0, rows):
        row = source + tl.cast(y, tl.int64) * in_h
        number = first + y * W
        in_row = filled & (y < bottom - top)
        for x in range(0, columns):
            mask = (in_row & (x < right - left))[:, None] & in_channel
            cell = tl.load(row + tl.cast(x, tl.int64) * in_w, mask=mask, other=0)
            if BF16:
                cell = (cell.to(tl.int32) << 16).to(tl.float32, bitcast=True)
            cell = cell.to(tl.float32)
            # exact: a larger one, or the first NaN, which nothing beats
            wins = mask & ((cell > best) if CAFFE else ((best == best) & ~(cell <= best)))
            best = tl.where(wins, cell, best)
            winner = tl.where(wins, number + x, winner)

    best = tl.where(filled[:, None], best, 0.0)
    out_mask = there[:, None] & in_channel
    at = (tl.cast(i, tl.int64) * out_r + tl.cast(p, tl.int64) * out_h + tl.cast(q, tl.int64) * out_w)[:, None]
    at = at + channel * out_c
    if WITH_ARGMAX:
        tl.store(argmax + at, winner, mask=out_mask)
    if BF16:  # -FLT_MAX rounds to -inf, every other value here is a bfloat16 already
        best = tl.where(filled[:, None] & (winner < 0), float("-inf"), best)
        tl.store(output + at, (best.to(tl.int32, bitcast=True) >> 16).to(tl.int16), mask=out_mask)
    else:
        tl.store(output + at, best.to(output.dtype.element_ty), mask=out_mask)


@triton.jit(do_not_specialize=["R", "H", "W", "P_h", "P_w", "KIND"])
def scatter(
    grad,
    argmax,
    rois,
    table,
    grad_features,
    R,
    C,
    H,
    W,
    P_h,
    P_w,
    grad_r,
    grad_c,
    grad_h,
    grad_w,
    arg_r,
    arg_c,
    arg_h,
    arg_w,
    to_n,
    to_c,
    to_cell,
    CAFFE: tl.constexpr,
    BF16: tl.constexpr,
    KIND,
    BINS: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Add every output's gradient to its argmax in float32 zeros, in no particular order.

    table is spans', OF_CELLS; only CAFFE reads it. Clauses: roi-pool.backward, roi-pool.backward-dropped.
    """
    b = tl.program_id(0) * BINS + tl.arange(0, BINS)
    i, p, q = b // (P_h * P_w), b // P_w % P_h, b % P_w
    there = i < R
    image = tl.load(rois + tl.cast(i, tl.int64) * 5, mask=there, other=-1)
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    mask = (image >= 0)[:, None] & (channel < C)[None, :]
    channel = tl.cast(channel, tl.int64)[None, :]
    i, p, q = tl.cast(i, tl.int64)[:, None], tl.cast(p, tl.int64)[:, None], tl.cast(q, tl.int64)[:, None]
    cell = tl.load(argmax + (i * arg_r + channel * arg_c + p * arg_h + q * arg_w), mask=mask, other=-1)
    mask = mask & (cell >= 0) & (cell < H * W)
    if CAFFE:  # roi-pool.backward-dropped
        of_row = table + 2 * (i * (H + W) + cell // W)
        of_column = table + 2 * (i * (H + W) + H + cell % W)
        mask = mask & (tl.load(of_row, mask=mask, other=0) <= p) & (p < tl.load(of_row + 1, mask=mask, other=0))
        mask = mask & (tl.load(of_column, mask=mask, other=0) <= q) & (q < tl.load(of_column + 1, mask=mask, other=0))
    value = tl.load(grad + (i * grad_r + channel * grad_c + p * grad_h + q * grad_w), mask=mask, other=0)
    if BF16:
        value = (value.to(tl.int32) << 16).to(tl.float32, bitcast=True)
    to = tl.cast(image, tl.int64)[:, None] * to_n + channel * to_c + tl.cast(cell, tl.int64) * to_cell
    tl.atomic_add(grad_features + to, value.to(tl.float32), mask=mask, sem="relaxed")


@triton.jit(do_not_specialize=["R", "H", "W", "P_h", "P_w", "KIND"])
def gather(
    grad,
    argmax,
    rois,
    table,
    grad_features,
    R,
    C,
    H,
    W,
    P_h,
    P_w,
    grad_r,
    grad_c,
    grad_h,
    grad_w,
    arg_r,
    arg_c,
    arg_h,
    arg_w,
    to_n,
    to_c,
    to_cell,
    CAFFE: tl.constexpr,
    BF16: tl.constexpr,
    KIND,
    ROIS: tl.constexpr,
    CELLS: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Sum up, cell by cell, the gradients of the outputs whose argmax it is: ROIS RoIs at a time, in one order.

    table is spans', OF_CELLS. An argmax outside its own bin, which no forward pass writes, is never met here; scatter
    would add it. Clauses: roi-pool.backward, roi-pool.backward-dropped, roi-pool.backward-sum, roi-pool.repeatable.
    """
    tiles = (H * W + CELLS - 1) // CELLS
    image, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    cell = (tile * CELLS + tl.arange(0, CELLS))[None, :]
    in_map = cell < H * W
    row, column = cell // W, cell % W
    channel = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    in_channel = (channel < C)[None, None, :]
    channel = tl.cast(channel, tl.int64)

    total = tl.full((CELLS, BLOCK_C), 0.0, tl.float32)
    for block in range(0, R, ROIS):
        i = block + tl.arange(0, ROIS)
        there = i < R
        here = there & (tl.load(rois + tl.cast(i, tl.int64) * 5, mask=there, other=-1) == image)
        of_image = here[:, None] & in_map
        of_roi = table + (tl.cast(i, tl.int64) * (2 * (H + W)))[:, None]
        of_row, of_column = of_roi + 2 * row, of_roi + 2 * (H + column)
        p_first, q_first = tl.load(of_row, mask=of_image, other=0), tl.load(of_column, mask=of_image, other=0)
        high = tl.load(of_row + 1, mask=of_image, other=0) - p_first  # bins that hold the cell: high x wide
        wide = tl.load(of_column + 1, mask=of_image, other=0) - q_first
        high = tl.where(wide > 0, high, 0)
        wide = tl.where(high > 0, wide, 0)
        highest = tl.reduce(tl.reduce(high, 1, tl.standard._elementwise_max), 0, tl.standard._elementwise_max)
        if highest > 0:
            widest = tl.reduce(tl.reduce(wide, 1, tl.standard._elementwise_max), 0, tl.standard._elementwise_max)
            p_from, q_from = tl.cast(p_first, tl.int64), tl.cast(q_first, tl.int64)
            at_roi, own = tl.cast(i, tl.int64)[:, None], channel[None, None, :]
            grad_at = grad + ((at_roi * grad_r + p_from * grad_h + q_from * grad_w)[:, :, None] + own * grad_c)
            argmax_at = argmax + ((at_roi * arg_r + p_from * arg_h + q_from * arg_w)[:, :, None] + own * arg_c)
            for p in range(0, highest):
                p_on = tl.cast(p, tl.int64)  # with strides of the caller's, products go beyond int32
                for q in range(0, widest):
                    q_on = tl.cast(q, tl.int64)
                    mask = ((p < high) & (q < wide))[:, :, None] & in_channel
                    winner = tl.load(argmax_at + (p_on * arg_h + q_on * arg_w), mask=mask, other=-1)
                    hit = mask & (winner == cell[:, :, None])
                    value = tl.load(grad_at + (p_on * grad_h + q_on * grad_w), mask=hit, other=0)
                    if BF16:
                        value = (value.to(tl.int32) << 16).to(tl.float32, bitcast=True)
                    total += tl.reduce(value.to(tl.float32), 0, tl.standard._sum_combine)

    cell = tl.reshape(cell, (CELLS,))
    to = tl.cast(image, tl.int64) * to_n + channel[None, :] * to_c + tl.cast(cell, tl.int64)[:, None] * to_cell
    tl.store(grad_features + to, total, mask=(cell < H * W)[:, None] & (channel < C)[None, :])
