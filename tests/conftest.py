"""Fixtures that several modules share."""

import pytest

from tests.support.tiny import write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Fourteen clips to train and six to test, unless a module has its own."""
    path = tmp_path_factory.mktemp("data")
    write_dataset(path, train=14, val=6)
    return path


@pytest.fixture
def evaluate(data, tmp_path, monkeypatch, capsys):
    """Run a script on the module's own `data` in an empty working folder; returns what it said.

    What an earlier call found may be replaced.
    """
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")

    def _evaluate(main, *arguments):
        capsys.readouterr()
        given = ["--data-path", str(data), "--device", "cpu", "--overwrite"]
        main([*given, *map(str, arguments)])
        return capsys.readouterr().out

    return _evaluate


@pytest.fixture
def refuse(run, capsys):
    """Run a script by the module's own `run`, which must refuse; returns its one line."""

    def _refuse(*arguments):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        out, err = capsys.readouterr()
        assert stopped.value.code == 2
        *warnings, error = err.splitlines()
        assert all(line.startswith("warning: ") for line in warnings)  # once in a process
        assert "top-1" not in out  # an error, never a score
        return error

    return _refuse
