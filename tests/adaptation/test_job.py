"""What an adaptation is handed."""

from pathlib import Path

import numpy as np
import pytest

from snreid.adaptation import AdaptiveBN, Unlabelled, adapt_run
from snreid.adaptation.job import AdaptationJob
from snreid.errors import ExperimentError
from snreid.experiments.runs import Run
from support.tiny import session


def test_a_method_sees_no_source_unless_it_asks_and_its_embedder_is_the_model(
    baseline: Run, dusk: Unlabelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[AdaptationJob] = []
    fit = AdaptiveBN.fit
    monkeypatch.setattr(AdaptiveBN, "fit", lambda self, job: (jobs.append(job), fit(self, job))[1])
    adapt_run(AdaptiveBN(), baseline, dusk, tmp_path / "out", session())
    (job,) = jobs
    with pytest.raises(ExperimentError, match="says so"):
        _ = job.labelled
    assert job.embedder().model is job.model and job.experiment == baseline.experiment
    (images,) = job.store.batches([np.arange(3)])
    assert job.embedder()(images).shape == (3, 8)
