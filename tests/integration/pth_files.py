# SPDX-License-Identifier: Apache-2.0
"""Writes .pth files with Python's pickle in the format of torch.save: a zip
file with a pickle and the values of the tensors. Supports only F32."""

import collections
import io
import pickle
import sys
import types
import zipfile


def _stand_in(name, **members):
    """A module with the names that the pickler looks up."""
    module = types.ModuleType(name)
    for key, value in members.items():
        value.__module__, value.__qualname__ = name, key
        setattr(module, key, value)
    sys.modules[name] = module
    return module


def _rebuild_tensor_v2():
    raise NotImplementedError("for its name only")


_torch = _stand_in("torch", FloatStorage=type("FloatStorage", (), {}))
_torch._utils = _stand_in("torch._utils",
                          _rebuild_tensor_v2=_rebuild_tensor_v2)


class _Storage:

    def __init__(self, key, values):
        self.key, self.values = key, values


class Tensor:
    """A tensor of F32 values in row-major order."""

    def __init__(self, shape, values):
        self.shape, self.values = tuple(shape), values

    def __reduce__(self):
        strides, step = [], 1
        for size in reversed(self.shape):
            strides.insert(0, step)
            step *= size
        return _rebuild_tensor_v2, (self.storage, 0, self.shape,
                                    tuple(strides), False,
                                    collections.OrderedDict())


class _Pickler(pickle.Pickler):

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = []

    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        return ("storage", _torch.FloatStorage, obj.key, "cpu",
                len(obj.values) // 4)

    def reducer_override(self, obj):
        if isinstance(obj, Tensor):
            obj.storage = _Storage(str(len(self.storages)), obj.values)
            self.storages.append(obj.storage)
        return NotImplemented


def pth_bytes(content):
    """The bytes of the file that torch.save(content) writes."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(content)
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", file.getvalue())
        for storage in pickler.storages:
            archive.writestr(f"archive/data/{storage.key}", storage.values)
        archive.writestr("archive/version", "3\n")
    return result.getvalue()


def network(tensors):
    """Tensors of checkpoints.py, all F32, in the form that torch.save takes."""
    return collections.OrderedDict(
        (name, Tensor(shape, values))
        for name, (_, shape, values) in tensors.items())
