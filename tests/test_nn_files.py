"""Models as files, copies and pickles: what comes back is what was saved, and what is damaged changes nothing."""

import copy
import importlib.util
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tinygrad_bp import Tensor, files, nn, optim
from tinygrad_bp.errors import DtypeError, FileFormatError, NameLookupError, ShapeError

EXTRA = pytest.mark.skipif(importlib.util.find_spec("safetensors") is None, reason="needs the extra: pip install tinygrad_bp[safetensors]")
FORMATS = [".npz", pytest.param(".safetensors", marks=EXTRA)]


class Net(nn.Module):
    """Lists of modules and parameters, a scalar, two precisions, a Fortran-ordered matrix, an empty one, a tied layer."""

    def __init__(self, rng=None):
        rng = np.random.default_rng(rng)
        self.blocks = [nn.Linear(2, 2, bias="shared", rng=rng), nn.Linear(2, 3, dtype=np.float32, rng=rng)]
        self.heads = {"a": nn.MLP([2, 2, 1], bias="unit", rng=rng)}
        self.offsets = [nn.Parameter(rng.normal(size=2)), nn.Parameter(rng.normal(size=()))]
        self.file = nn.Parameter(np.asfortranarray(rng.normal(size=(3, 2))))
        self.empty = nn.Parameter(np.empty((0, 3)))
        self.tied = self.blocks[0]


def same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert value.dtype == b[name].dtype, name
        np.testing.assert_array_equal(value, b[name], err_msg=name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_round_trip(tmp_path, suffix):
    model = Net(0)
    model.save(tmp_path / f"model{suffix}")
    other = Net(1)
    assert other.load(str(tmp_path / f"model{suffix}")) is other
    same(model.state_dict(), other.state_dict())
    assert list(tmp_path.iterdir()) == [tmp_path / f"model{suffix}"]


def test_names_in_lists_and_of_tied_layers():
    assert [name for name, _ in Net(0).named_parameters()] == [
        "blocks.0.weight", "blocks.0.bias", "blocks.1.weight", "blocks.1.bias", "heads.a.0.weight", "heads.a.2.weight",
        "offsets.0", "offsets.1", "file", "empty",
    ]  # fmt: skip
    state = Net(0).state_dict()
    assert {"tied.weight", "tied.bias"} < state.keys()
    np.testing.assert_array_equal(state["tied.weight"], state["blocks.0.weight"])
    assert Net(0).offsets[0].name == "offsets.0"


def test_numpy_reads_what_is_saved_and_the_other_way_round(tmp_path):
    model = nn.MLP([2, 3, 1], rng=0)
    model.save(tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz", allow_pickle=False) as stored:
        same(dict(stored), model.state_dict())
    np.savez_compressed(tmp_path / "numpys.npz", **model.state_dict())
    same(nn.MLP([2, 3, 1], rng=1).load(tmp_path / "numpys.npz").state_dict(), model.state_dict())


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        nn.MLP([2, 3, 1], rng=0).save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_truncated_and_foreign_files(tmp_path, suffix):
    model, path = nn.MLP([2, 3, 1], rng=0), tmp_path / f"model{suffix}"
    model.save(path)
    whole, before = path.read_bytes(), model.state_dict()
    for data in [*(whole[:n] for n in range(len(whole))), whole + b"\0" * 100, b"no such file" * 10, pickle.dumps({"0.weight": 1})]:
        path.write_bytes(data)
        if data.startswith(whole) and suffix == ".npz":
            continue  # bytes after the archive are allowed in a zip
        with pytest.raises(FileFormatError, match=rf"model\{suffix} cannot be read as a {suffix} file: it is damaged or of another kind"):
            model.load(path)
    same(model.state_dict(), before)


def test_a_changed_byte_is_noticed_or_makes_no_difference(tmp_path):
    """Every byte of a file inverted, one after the other: an error, or the values that were saved."""
    model, path = nn.Linear(2, 2, rng=0), tmp_path / "model.npz"
    model.save(path)
    whole, before, refused = path.read_bytes(), model.state_dict(), 0
    for mask in (0xFF, 0x01):
        for i in range(len(whole)):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ mask]) + whole[i + 1 :])
            try:
                model.load(path)
            except (FileFormatError, NameLookupError):
                refused += 1
            same(model.state_dict(), before)
    assert refused > len(whole)


def test_a_pickle_inside_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    path = tmp_path / "model.npz"
    array = np.empty(1, object)
    array[0] = Trap()
    with zipfile.ZipFile(path, "w") as archive:
        member = io.BytesIO()
        np.lib.format.write_array(member, array, allow_pickle=True)
        archive.writestr("weight.npy", member.getvalue())
    with pytest.raises(FileFormatError, match="Object arrays cannot be loaded"):
        nn.Linear(1, 1, bias=False).load(path)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"2.weight": np.zeros((3, 1))}, ShapeError, r"2.weight has shape \(1, 3\); the state_dict holds shape \(3, 1\)"),
        ({"2.bias": None}, NameLookupError, r"missing \['2.bias'\]"),
        ({"4.bias": np.zeros(1)}, NameLookupError, r"not in the module \['4.bias'\]"),
        ({"2.bias": np.zeros(1, complex)}, DtypeError, "2.bias in the state_dict: a tensor holds real numbers"),
        ({"2.bias": np.array(["text"])}, DtypeError, "2.bias in the state_dict: .* dtype <U4"),
    ],
)
def test_a_file_of_another_model_changes_nothing(tmp_path, suffix, change, error, message):
    model, path = nn.MLP([2, 3, 1], rng=0), tmp_path / f"model{suffix}"
    state = {name: value for name, value in ({k: v * 0 for k, v in model.state_dict().items()} | change).items() if value is not None}
    before = model.state_dict()
    if error is DtypeError and suffix == ".safetensors":
        with pytest.raises(ValueError, match=r"safetensors cannot hold these arrays .* Save as .npz"):
            files.write(path, state)
        assert not list(tmp_path.iterdir())
        return
    files.write(path, state)
    with pytest.raises(error, match=message):
        model.load(path)
    same(model.state_dict(), before)


def test_integers_become_floats():
    model = nn.Linear(1, 1, bias=False)
    model.load_state_dict({"weight": np.array([[3]])})
    assert model.weight.dtype == np.float64


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("where", "what"), [(os, "fsync"), (Path, "replace"), (files, "to_npz"), (files, "_to_safetensors")])
def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch, suffix, where, what):
    path = tmp_path / f"model{suffix}"
    nn.Linear(2, 2, rng=0).save(path)
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(where, what, interrupt)
        if "to_" in what and not what.endswith(suffix[1:]):
            return
        with pytest.raises(KeyboardInterrupt):
            nn.Linear(2, 2, rng=1).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path):
    """In a process of its own, which may write no file of more than 1000 bytes."""
    pytest.importorskip("resource")
    path = tmp_path / "model.npz"
    nn.Linear(2, 2, rng=0).save(path)
    before = path.read_bytes()
    program = (
        "import resource; from tinygrad_bp import nn; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        f"nn.Linear(20, 20).save({str(path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "OSError" in done.stderr
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saving_goes_through_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "model.npz", tmp_path / "latest.npz"
    target.write_bytes(b"")
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("this system lets nobody make links")
    nn.Linear(2, 2, rng=0).save(link)
    assert link.is_symlink()
    nn.Linear(2, 2).load(target)


def test_other_suffixes_missing_files_and_folders(tmp_path):
    model = nn.Linear(2, 2)
    for use in (model.save, model.load):
        with pytest.raises(ValueError, match=r"a model is saved as .npz or .safetensors; got 'model.pkl'"):
            use("model.pkl")
    with pytest.raises(FileNotFoundError):
        model.load(tmp_path / "none.npz")
    with pytest.raises(FileNotFoundError):
        model.save(tmp_path / "none" / "model.npz")


def test_safetensors_is_an_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install tinygrad_bp\[safetensors\]"):
        nn.Linear(2, 2).save(tmp_path / "model.safetensors")
    assert not list(tmp_path.iterdir())


# -- copies ----------------------------------------------------------------------------------------------------------


def pickled(module):
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_copies_are_independent(duplicate):
    model = nn.MLP([2, 3, 1], nn.LeakyReLU(0.3), rng=0).eval()
    model[0].weight.named("W1", "w1 w2 w3 w4 w5 w6")
    model[2].bias.requires_grad_(False)
    x = np.ones((4, 2))
    nn.MSELoss()(model(x), np.zeros((4, 1))).backward()
    twin = duplicate(model)
    same(model.state_dict(), twin.state_dict())
    assert repr(twin) == repr(model)
    assert [p.name for p in twin.parameters()] == ["W1", "0.bias", "2.weight", "2.bias"]
    assert twin[0].weight.name.elements == model[0].weight.name.elements
    assert (twin.training, twin[2].bias.requires_grad) == (False, False)
    np.testing.assert_array_equal(twin[0].weight.grad.numpy(), model[0].weight.grad.numpy())
    np.testing.assert_array_equal(twin(x).numpy(), model(x).numpy())
    before = model.state_dict()
    optim.SGD([p for p in twin.parameters() if p.requires_grad], lr=1.0).step()
    same(model.state_dict(), before)
    assert not np.array_equal(twin(x).numpy(), model(x).numpy())


def test_a_copy_keeps_what_is_tied():
    twin = copy.deepcopy(Net(0))
    assert twin.tied is twin.blocks[0]
    model = nn.MLP([1, 1])
    assert copy.copy(model)[0] is not model[0]
    twin = copy.copy(model)
    assert twin.steps[0] is getattr(twin, "0")


def test_a_parameter_in_a_longer_path_still_follows_its_place_after_a_copy():
    inner = copy.deepcopy(nn.Linear(1, 1))
    outer = nn.Sequential(nn.Identity(), inner)
    assert [p.name for p in outer.parameters()] == ["1.weight", "1.bias"]


def test_a_result_is_not_copied_by_accident():
    model = nn.Linear(1, 1)
    model.last = model(Tensor([1.0]))
    with pytest.raises(RuntimeError, match="a copy would not belong to its graph"):
        copy.deepcopy(model)
