"""Paired tests against published cases, scipy and what they promise."""

import numpy as np
import pytest
from scipy import stats

from kerasft.errors import UserError
from kerasft.metrics.paired import holm, mcnemar, paired_bootstrap
from kerasft.metrics.weighted import weighted_mean


def right_in(both, only_first, only_second, neither):
    first = [True] * both + [True] * only_first + [False] * only_second + [False] * neither
    second = [True] * both + [False] * only_first + [True] * only_second + [False] * neither
    return first, second


class TestMcNemar:
    # Fagerland, Lydersen & Laake 2013, BMC Medical Research Methodology 13:91, table 1: children
    # with airway hyper-responsiveness before and after a transplantation (Bentur et al. 2009).
    CHILDREN = (1, 1, 7, 12)

    def test_a_published_case(self):
        # "Twice the one-sided p-value": 2 (1 + 8) / 2^8.
        assert mcnemar(*right_in(*self.CHILDREN)) == pytest.approx(0.0703125, abs=1e-12)

    @pytest.mark.parametrize("both", [0, 1000])
    def test_only_what_one_alone_gets_right_counts(self, both):
        # 22 discordant pairs, 6 against 16: 2 * P(X <= 6) of Binomial(22, 1/2).
        expected = 2 * stats.binom.cdf(6, 22, 0.5)
        assert mcnemar(*right_in(both, 6, 16, 80)) == pytest.approx(expected, abs=1e-12)
        assert mcnemar(*right_in(both, 16, 6, 80)) == pytest.approx(expected, abs=1e-12)

    def test_models_that_are_right_in_the_same_examples(self):
        assert mcnemar(*right_in(5, 0, 0, 3)) == 1.0
        assert mcnemar(*right_in(5, 4, 4, 3)) == 1.0

    def test_other_examples_are_refused(self):
        with pytest.raises(ValueError, match="needs the same examples"):
            mcnemar([True, False], [True])


class TestPairedBootstrap:
    @pytest.fixture
    def values(self):
        """Two models' losses of the same examples: what is hard for one is hard for the other."""
        generator = np.random.default_rng(0)
        hard = generator.normal(size=300)
        noise = generator.normal(scale=0.3, size=(2, 300))
        return hard + noise[0] + 1, hard + noise[1] + 1.04

    def test_the_interval_is_scipys(self, values):
        (difference,) = paired_bootstrap([*map(weighted_mean, values)], 300, seed=2).values()
        expected = stats.bootstrap(
            values,
            lambda first, second, axis: (second - first).mean(axis=axis),
            paired=True,
            method="percentile",
            n_resamples=5000,
            rng=np.random.default_rng(3),
        ).confidence_interval
        assert difference.estimate == pytest.approx(np.mean(values[1] - values[0]))
        assert difference[1:3] == pytest.approx(expected, abs=0.004)

    def test_the_p_value_is_that_of_a_paired_t_test(self, values):
        (difference,) = paired_bootstrap([*map(weighted_mean, values)], 300).values()
        expected = stats.ttest_rel(*values).pvalue
        assert 0.02 < expected < 0.5
        assert difference.p_value == pytest.approx(expected, abs=0.02)
        unpaired = stats.ttest_ind(*values).pvalue  # the control: it sees nothing
        assert abs(unpaired - difference.p_value) > 0.2

    def test_of_equal_models_about_one_in_twenty_is_called_better(self):
        generator = np.random.default_rng(1)
        called = 0
        for _ in range(300):
            values = generator.normal(size=(2, 60))
            models = [*map(weighted_mean, values)]
            (difference,) = paired_bootstrap(models, 60, num_resamples=200).values()
            called += difference.p_value < 0.05
        assert 5 <= called <= 30

    def test_a_real_difference_is_seen_and_has_the_least_p_value(self):
        models = [weighted_mean(np.zeros(50)), weighted_mean(np.ones(50))]
        (difference,) = paired_bootstrap(models, 50, num_resamples=99).values()
        assert difference[:4] == (1.0, 1.0, 1.0, 0.02)

    def test_the_same_model_twice(self):
        model = weighted_mean(np.arange(50.0))
        assert paired_bootstrap([model] * 2, 50)[0, 1][:4] == (0.0, 0.0, 0.0, 1.0)

    def test_each_two_of_several_and_the_seed(self):
        models = [weighted_mean(np.random.default_rng(i).normal(size=40)) for i in range(3)]
        several = paired_bootstrap(models, 40, seed=1)
        assert list(several) == [(0, 1), (0, 2), (1, 2)]
        assert paired_bootstrap(models[1:], 40, seed=1)[0, 1] == several[1, 2]
        assert paired_bootstrap(models, 40, seed=2) != several

    def test_resamples_without_a_metric_are_left_out_and_none_is_nan(self):
        def sometimes(weights):
            return np.where(weights[:, 0] > 0, weights[:, 0], np.nan)

        (difference,) = paired_bootstrap([sometimes, weighted_mean(np.ones(9))], 9).values()
        assert 0.2 < difference.num_left_out / 5000 < 0.5
        assert np.isfinite(difference.p_value)

        def never(weights):
            return np.full(len(weights), np.nan)

        (difference,) = paired_bootstrap([never, never], 9, num_resamples=50).values()
        assert np.isnan(difference.p_value)
        assert difference.num_left_out == 50

    def test_no_examples(self):
        with pytest.raises(UserError, match="nothing to resample"):
            paired_bootstrap([], 0)


class TestHolm:
    def test_a_worked_case(self):
        # Wikipedia, "Holm-Bonferroni method", example: H1 and H4 are rejected at 0.05.
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])

    def test_edges(self):
        assert holm([]) == []
        assert holm([0.3]) == [0.3]
        assert holm([0.9, 0.8]) == [1.0, 1.0]
        assert holm([np.nan, 0.02, 0.03]) == pytest.approx([np.nan, 0.04, 0.04], nan_ok=True)
