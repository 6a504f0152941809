"""Fixtures that several modules share."""

import pytest


@pytest.fixture
def refuse(run, capsys):
    """Run a script by the module's own `run`, which must refuse; returns its one line."""

    def _refuse(*arguments):
        with pytest.raises(SystemExit) as stopped:
            run(*arguments)
        out, err = capsys.readouterr()
        assert stopped.value.code == 2
        assert err.count("\n") == 1
        assert "top-1" not in out  # an error, never a score
        return err.strip()

    return _refuse
