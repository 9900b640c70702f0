"""Caffe's weights come in from files of both its formats, and a wrong file is refused by the name of what is wrong."""

import re

import numpy as np
import pytest

from frcnn.repro.caffemodel import net_message
from frcnn.repro.importers import FAST_RCNN_MEAN, SQUEEZENET_MEAN, read_weights


def random_like(*shape):
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


def blob(message, array, old=False, double=False):
    entry = message.blobs.add()
    if old:
        shape = (1,) * (4 - array.ndim) + array.shape
        entry.num, entry.channels, entry.height, entry.width = shape
    else:
        entry.shape.dim.extend(array.shape)
    (entry.double_data if double else entry.data).append(array.astype("<f8" if double else "<f4").tobytes())
    return entry


def caffe_file(path, net):
    path.write_bytes(net.SerializeToString())
    return path


class TestCaffe:
    W, B, FC = random_like(4, 3, 5, 5), random_like(4), random_like(2, 6)

    def layer(self, net, name, kind, *arrays, **how):
        first = isinstance(kind, int)
        layer = (net.layers if first else net.layer).add(name=name.encode(), type=kind if first else kind.encode())
        for array in arrays:
            blob(layer, array, **how)
        return layer

    def check(self, path):
        weights, mean = read_weights(path)
        assert mean == FAST_RCNN_MEAN
        assert weights.keys() == {"conv1/w", "conv1/b", "fc6/w", "fc6/b"}
        np.testing.assert_array_equal(weights["conv1/w"], self.W)
        np.testing.assert_array_equal(weights["conv1/b"], self.B)
        np.testing.assert_array_equal(weights["fc6/w"], self.FC)

    @pytest.mark.parametrize("double", [False, True])
    def test_layers_of_today_are_read(self, tmp_path, double):
        net = net_message()()
        self.layer(net, "data", "ImageData")
        self.layer(net, "conv1", "Convolution", self.W, self.B, double=double)
        self.layer(net, "scale", "Scale", self.B)
        self.layer(net, "fc6", "InnerProduct", self.FC, self.B[:2], double=double)
        self.check(caffe_file(tmp_path / "net.caffemodel", net))

    def test_layers_of_2014_are_read(self, tmp_path):
        net = net_message()()
        self.layer(net, "data", 5)
        self.layer(net, "conv1", 4, self.W, self.B, old=True)
        self.layer(net, "fc6", 14, self.FC, self.B[:2], old=True)
        self.check(caffe_file(tmp_path / "net.caffemodel", net))

    def test_the_bytes_on_the_wire_are_those_of_caffes_schema(self, tmp_path):
        def field(number, data):  # of bytes: key, length, data
            return varint(number << 3 | 2) + varint(len(data)) + data

        def varint(n):
            return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])

        def packed(array):
            return field(7, field(1, b"".join(map(varint, array.shape)))) + field(5, array.astype("<f4").tobytes())

        def unpacked_sizes(array):
            shape = (1,) * (4 - array.ndim) + array.shape
            return b"".join(varint(n << 3) + varint(size) for n, size in enumerate(shape, 1))

        today = field(1, b"conv1") + field(2, b"Convolution") + field(7, packed(self.W)) + field(7, packed(self.B))
        of_2014 = field(4, b"fc6") + varint(5 << 3) + varint(14)
        for array in (self.FC, self.B[:2]):
            of_2014 += field(6, unpacked_sizes(array) + field(5, array.astype("<f4").tobytes()))
        path = tmp_path / "net.caffemodel"
        path.write_bytes(field(1, b"a name") + field(2, of_2014) + field(100, today))
        self.check(path)

    def test_fire_modules_are_renamed(self, tmp_path):
        net = net_message()()
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            self.layer(net, f"fire2/{part}", "Convolution", self.W, self.B)
        weights, mean = read_weights(caffe_file(tmp_path / "net.caffemodel", net))
        assert list(weights)[::2] == ["fire2/conv1x1_1/w", "fire2/conv1x1_2/w", "fire2/conv3x3_2/w"]
        assert mean == SQUEEZENET_MEAN

    def wrong(self, name):
        net = net_message()()
        if name == "shape":
            self.layer(net, "conv1", "Convolution", self.W).blobs[0].shape.dim[0] = 5
        elif name == "negative":
            self.layer(net, "conv1", "Convolution", self.W).blobs[0].shape.dim[:2] = [-4, -3]
        elif name == "flat":
            self.layer(net, "conv1", "Convolution", self.FC)
        elif name == "deep":
            self.layer(net, "fc6", "InnerProduct", self.W)
        elif name == "bias":
            self.layer(net, "conv1", "Convolution", self.W, self.B[:3])
        elif name == "three":
            self.layer(net, "conv1", "Convolution", self.W, self.B, self.B)
        elif name == "twice":
            self.layer(net, "conv1", "Convolution", self.W)
            self.layer(net, "conv1", "Convolution", self.W)
        elif name == "oldest":
            net.layers.add(v0=b"\x0a\x05conv1")
        return net

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("shape", "layer 'conv1' holds 1200 bytes of packed <f4 for a blob of shape (5, 3, 5, 5)"),
            ("negative", "for a blob of shape (-4, -3, 5, 5)"),
            ("flat", "layer 'conv1' is a convolution with weights (2, 6), not (out, in, kh, kw)"),
            ("deep", "layer 'fc6' is an inner product with weights (4, 3, 5, 5), not (out, in)"),
            ("bias", "layer 'conv1' has weights (4, 3, 5, 5) and a bias of 3"),
            ("three", "layer 'conv1' has 3 blobs"),
            ("twice", "more than one layer 'conv1'"),
            ("oldest", "run Caffe's upgrade_net_proto_binary on it"),
            ("empty", "holds no weights"),
        ],
    )
    def test_a_wrong_file_is_refused_by_the_name_of_what_is_wrong(self, tmp_path, name, message):
        path = caffe_file(tmp_path / "net.caffemodel", self.wrong(name))
        with pytest.raises(ValueError, match=re.escape(message)) as caught:
            read_weights(path)
        assert str(path) in str(caught.value)

    def test_a_layer_without_a_bias_has_one_of_zero(self, tmp_path):
        net = net_message()()
        self.layer(net, "conv1", "Convolution", self.W)
        assert read_weights(caffe_file(tmp_path / "net.caffemodel", net))[0]["conv1/b"].tolist() == [0, 0, 0, 0]
