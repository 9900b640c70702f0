"""The weights in a .caffemodel, read as data: by protobuf, with the few fields of Caffe's schema that hold them.

Caffe's src/caffe/proto/caffe.proto numbers the fields. A file has `layer` (since 2014) or `layers` (V1, as VGG16's and
CaffeNet's published ones have); in the even older V0 a layer is one level deeper.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np

# message -> (field, number, type, repeated); a type in capitals is protobuf's, another a message of this table.
_SCHEMA = {
    "Shape": (("dim", 1, "INT64", True),),
    "Blob": (
        ("num", 1, "INT32", False),
        ("channels", 2, "INT32", False),
        ("height", 3, "INT32", False),
        ("width", 4, "INT32", False),
        # Packed floats are the same bytes as a bytes field, which NumPy takes whole: 138 million Python floats less.
        ("data", 5, "BYTES", True),
        ("shape", 7, "Shape", False),
        ("double_data", 8, "BYTES", True),
    ),
    "LayerV1": (
        ("v0", 1, "BYTES", False),
        ("name", 4, "BYTES", False),
        ("type", 5, "INT32", False),
        ("blobs", 6, "Blob", True),
    ),
    "Layer": (("name", 1, "BYTES", False), ("type", 2, "BYTES", False), ("blobs", 7, "Blob", True)),
    "Net": (("layers", 2, "LayerV1", True), ("layer", 100, "Layer", True)),
}
_CONVOLUTION, _INNER_PRODUCT = (4, b"Convolution"), (14, b"InnerProduct")  # LayerParameter.type, V1 and later


@cache
def net_message():
    """protobuf's class of a net: what `read_caffemodel` parses, and a test can write."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="frcnn_caffemodel.proto", package="frcnn", syntax="proto2")
    for message, fields in _SCHEMA.items():
        entry = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = entry.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in _SCHEMA:
                field.type, field.type_name = field.TYPE_MESSAGE, f".frcnn.{kind}"
            else:
                field.type = getattr(field, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("frcnn.Net"))


def read_caffemodel(path):
    """ "conv1/w" (out, in / groups, kh, kw), "fc6/w" (out, in) and their "/b" (out,), under Caffe's names for layers.

    Returns a dict name -> float array. Layers that are no convolution or inner product are left alone.
    Raises ValueError naming the file and the layer.
    """
    from google.protobuf.message import DecodeError

    net = net_message()()
    try:
        net.ParseFromString(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except DecodeError:
        raise ValueError(f"{path} is no .caffemodel, or cut short: protobuf cannot parse it") from None
    weights: dict[str, np.ndarray] = {}
    for layer in (*net.layers, *net.layer):
        if getattr(layer, "v0", b""):
            raise ValueError(f"{path} is of Caffe's oldest format; run Caffe's upgrade_net_proto_binary on it")
        if layer.type in _CONVOLUTION + _INNER_PRODUCT and layer.blobs:
            name = layer.name.decode("utf-8", "replace")
            if f"{name}/w" in weights:
                raise ValueError(f"{path} has more than one layer {name!r} with weights")
            weights |= _weights_of(f"{path}: layer {name!r}", name, layer)
    if not weights:
        raise ValueError(f"{path} holds no weights: no convolution and no inner product in it has any")
    return weights


def _weights_of(where, name, layer):
    if len(layer.blobs) > 2:
        raise ValueError(f"{where} has {len(layer.blobs)} blobs; weights and a bias are 2")
    arrays = [_array(where, blob) for blob in layer.blobs]
    w = arrays[0]
    if layer.type in _INNER_PRODUCT:
        if w.ndim < 2 or w.shape[:-2] != (1,) * (w.ndim - 2):
            raise ValueError(f"{where} is an inner product with weights {w.shape}, not (out, in)")
        w = w.reshape(w.shape[-2:])  # (1, 1, out, in) before blobs had shapes
    elif w.ndim != 4:
        raise ValueError(f"{where} is a convolution with weights {w.shape}, not (out, in, kh, kw)")
    b = arrays[1].reshape(-1) if len(arrays) == 2 else np.zeros(len(w), np.float32)
    if b.shape != (len(w),):
        raise ValueError(f"{where} has weights {w.shape} and a bias of {b.size}")
    return {f"{name}/w": w, f"{name}/b": b}


def _array(where, blob):
    old = (blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else old
    data, dtype = (blob.double_data, "<f8") if blob.double_data else (blob.data, "<f4")
    whole = b"".join(data)
    if min(shape, default=1) < 1 or math.prod(shape) * np.dtype(dtype).itemsize != len(whole):
        raise ValueError(f"{where} holds {len(whole)} bytes of packed {dtype} for a blob of shape {shape}")
    return np.frombuffer(whole, dtype).reshape(shape)
