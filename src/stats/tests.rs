use proptest::prelude::*;

use super::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1e-6)
}

fn one_to_ten() -> Vec<f64> {
    (1..=10).map(f64::from).collect()
}

#[test]
fn summary_of_one_to_ten() {
    let summary = SampleSummary::of(&one_to_ten()).unwrap();
    assert_eq!((summary.samples, summary.min, summary.max), (10, 1.0, 10.0));
    // R: quantile(1:10) gives 3.25, 5.5, 7.75; sd(1:10) gives 3.027650.
    assert_eq!((summary.q1, summary.median, summary.q3, summary.mean), (3.25, 5.5, 7.75, 5.5));
    assert!(close(summary.stddev.unwrap(), 3.027650));
}

#[test]
fn median_interval_by_hand() {
    // Ranks 2 and 9 cover 1 − 2·11/1024 = 0.978516, ranks 3 and 8 cover 1 − 2·56/1024 = 0.890625.
    // I = (0.978516 − 0.965) / 0.087891 = 0.153778; weight = 8·I / (2 + 6·I) = 0.420926.
    let interval = SampleSummary::of(&one_to_ten()).unwrap().ci95.unwrap();
    assert!((interval.low - 2.420926).abs() < 1e-5, "{interval:?}");
    assert!((interval.high - 8.579074).abs() < 1e-5, "{interval:?}");
}

#[test]
fn six_samples_are_needed_for_the_interval_of_a_median() {
    assert_eq!(SampleSummary::of(&[1.0; 5]).unwrap().ci95, None);
    assert!(SampleSummary::of(&[1.0; MEDIAN_SAMPLES]).unwrap().ci95.is_some());
}

#[test]
fn student_interval_of_one_to_ten() {
    // R: t.test(1:10)$conf.int gives 3.334149 7.665851.
    let interval = mean_interval(&one_to_ten()).unwrap();
    assert!(close(interval.low, 3.334149) && close(interval.high, 7.665851), "{interval:?}");
}

#[test]
fn shares_are_averaged_over_steps() {
    // 50 % and 25 %, not 1.25 of 3.5.
    assert_eq!(share(&[0.5, 0.625], &[1.0, 2.5]).unwrap().value, 37.5);
    assert_eq!(share(&[0.0, 1.0], &[1.0, 1.0]).unwrap().ci95, Some(Interval { low: 0.0, high: 100.0 }));
    assert_eq!(share(&[1.0], &[2.0]), Some(Figure { value: 50.0, ci95: None }));
}

#[test]
fn closure_is_the_median_of_the_paired_ratios() {
    // 1.0, 1.01 and 1.5, while the ratio of the medians is 3.03 / 2.
    let figure = closure(&[1.0, 3.03, 3.03], &[1.0, 3.0, 2.02]).unwrap();
    assert!(close(figure.value, 1.01));
    assert_eq!(figure.ci95, None);
}

#[test]
fn what_cannot_be_computed_is_none() {
    assert_eq!(SampleSummary::of(&[]), None);
    assert_eq!(SampleSummary::of(&[1.0, f64::NAN]), None);
    assert_eq!(SampleSummary::of(&[1.0]).unwrap().stddev, None);
    assert_eq!(share(&[1.0], &[0.0]), None);
    assert_eq!(share(&[0.0], &[0.0]), None);
    assert_eq!(share(&[], &[]), None);
    assert_eq!(closure(&[1.0, 2.0], &[1.0]), None);
    assert_eq!(Estimate::ln_mean(0.0, 0.0, 10), None);
    assert_eq!(Estimate::ln_mean(1.0, 0.1, 1), None);
    assert_eq!(Estimate::over_runs(&[]), None);
}

#[test]
fn welch_as_in_r() {
    // R: t.test(1:10, 7:20) gives df = 21.982, p-value = 1.855e-05 and the interval -11.052802 -4.947198.
    let root = |n: f64| n.sqrt();
    let x = Estimate { value: 5.5, standard_error: 3.0276504 / root(10.0), dof: 9.0 };
    let y = Estimate { value: 13.5, standard_error: 4.1833001 / root(14.0), dof: 13.0 };
    let difference = Difference::between(y, x);
    let interval = difference.ci95().unwrap();
    assert!(close(interval.low, -11.052802) && close(interval.high, -4.947198), "{interval:?}");
    assert!((difference.p_different() / 1.855e-5 - 1.0).abs() < 1e-3);
}

#[test]
fn estimates_give_back_the_standard_errors() {
    // Of the mean of 1 to 10: 3.027650 / √10 = 0.957427, a fraction 0.174078 of 5.5.
    let student = Interval { low: 3.334149, high: 7.665851 };
    assert!(close(Estimate::share(5.5, student, 10).unwrap().standard_error, 0.957427));
    let cut = Interval { low: 4.0, ..student };
    assert!(close(Estimate::share(5.5, cut, 10).unwrap().standard_error, 0.957427));
    assert!((Estimate::ln_mean(5.5, 3.027650, 10).unwrap().standard_error - 0.174078).abs() < 1e-6);
    // Two-sided 96.5 %: z = 2.108358; ± 0.1 of 2 is ± 0.05.
    let median = Estimate::ln_median(2.0, Interval { low: 1.9, high: 2.1 }, 10).unwrap();
    assert!((median.standard_error - 0.05 / 2.108358).abs() < 1e-6);
}

#[test]
fn holm_as_in_r() {
    // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") gives 0.03 0.06 0.06 0.02.
    let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
    assert!(adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]).all(|(&a, b)| close(a, b)), "{adjusted:?}");
}

fn difference(value: f64, standard_error: f64) -> Difference {
    let estimate = |value| Estimate { value, standard_error, dof: 1000.0 };
    Difference::between(estimate(0.0), estimate(value))
}

#[test]
fn the_four_verdicts() {
    let rows = [
        vec![difference(0.003, 0.0005)],
        vec![difference(0.05, 0.001)],
        vec![difference(-0.05, 0.001)],
        vec![difference(0.05, 0.1)],
        vec![],
        vec![difference(0.0, 0.0)],
        vec![difference(0.03, 0.0)],
    ];
    use Verdict::*;
    assert_eq!(verdicts(&rows, 0.02, ALPHA), [Same, Slower, Faster, Unclear, Unclear, Same, Slower]);
}

#[test]
fn the_clearest_figure_decides() {
    let (same, slower, unclear) = (difference(0.0, 0.001), difference(0.05, 0.001), difference(0.05, 0.1));
    assert_eq!(verdicts(&[vec![same, slower]], 0.02, ALPHA), [Verdict::Slower]);
    assert_eq!(verdicts(&[vec![same, unclear]], 0.02, ALPHA), [Verdict::Same]);
    assert_eq!(verdicts(&[vec![slower, unclear]], 0.02, ALPHA), [Verdict::Slower]);
}

#[test]
fn many_rows_need_more_than_one() {
    // 2.22 and 3.3 standard errors: two-sided p alone is 0.027 and 0.001; times 30 it is 0.80 and 0.03.
    let rows = |errors: f64| {
        let value = errors * 0.01 * 2.0_f64.sqrt();
        [vec![vec![difference(value, 0.01)]], vec![vec![difference(0.0, 0.01)]; 29]].concat()
    };
    assert_eq!(verdicts(&rows(2.22)[..1], 0.0, ALPHA), [Verdict::Slower]);
    assert_eq!(verdicts(&rows(2.22), 0.0, ALPHA)[0], Verdict::Unclear);
    assert_eq!(verdicts(&rows(3.3), 0.0, ALPHA)[0], Verdict::Slower);
}

#[test]
fn several_runs_are_known_by_what_differs_between_them() {
    assert_eq!(Estimate::over_runs(&[1.0]), None);
    // 1, 2, 3: standard deviation 1, of a mean of three 1/√3.
    let side = Estimate::over_runs(&[1.0, 2.0, 3.0]).unwrap();
    assert!(close(side.value, 2.0) && close(side.standard_error, 0.577350) && side.dof == 2.0);
}

proptest! {
    #[test]
    fn a_summary_is_in_order(samples in prop::collection::vec(1.0..1e9f64, 6..200)) {
        let s = SampleSummary::of(&samples).unwrap();
        let ci95 = s.ci95.unwrap();
        prop_assert!(s.min <= s.q1 && s.q1 <= s.median && s.median <= s.q3 && s.q3 <= s.max);
        prop_assert!(s.min <= ci95.low && ci95.low <= s.median && s.median <= ci95.high && ci95.high <= s.max);
        let mean = mean_interval(&samples).unwrap();
        prop_assert!(mean.low <= s.mean && s.mean <= mean.high);
    }

    #[test]
    fn a_summary_does_not_depend_on_order(
        (samples, shuffled) in prop::collection::vec(1.0..1e9f64, 1..100)
            .prop_flat_map(|samples| (Just(samples.clone()), Just(samples).prop_shuffle()))
    ) {
        prop_assert_eq!(SampleSummary::of(&samples), SampleSummary::of(&shuffled));
    }

    #[test]
    fn a_summary_scales(samples in prop::collection::vec(1.0..1e6f64, 6..100), exponent in -10..10i32) {
        // A power of two, so that nothing is rounded.
        let factor = f64::from(exponent).exp2();
        let scaled: Vec<f64> = samples.iter().map(|sample| sample * factor).collect();
        let (a, b) = (SampleSummary::of(&samples).unwrap(), SampleSummary::of(&scaled).unwrap());
        prop_assert_eq!((a.median * factor, a.mean * factor, a.q1 * factor), (b.median, b.mean, b.q1));
        prop_assert_eq!(a.ci95.map(|i| (i.low * factor, i.high * factor)), b.ci95.map(|i| (i.low, i.high)));
        prop_assert_eq!(a.stddev.map(|s| s * factor), b.stddev);
    }

    #[test]
    fn shares_of_all_parts_add_up(parts in prop::collection::vec(prop::array::uniform3(0.1..1e6f64), 1..50)) {
        let step: Vec<f64> = parts.iter().map(|p| p.iter().sum()).collect();
        let sum: f64 = (0..3).map(|k| share(&parts.iter().map(|p| p[k]).collect::<Vec<_>>(), &step).unwrap().value).sum();
        prop_assert!((sum - 100.0).abs() < 1e-9);
    }

    #[test]
    fn holm_only_raises_and_keeps_the_order(p in prop::collection::vec(0.0..=1.0f64, 1..50)) {
        let adjusted = holm(&p);
        for i in 0..p.len() {
            prop_assert!(p[i] <= adjusted[i] && adjusted[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] >= p[j] || adjusted[i] <= adjusted[j]);
            }
        }
    }

    #[test]
    fn swapping_the_runs_swaps_the_verdicts(value in -0.1..0.1f64, standard_error in 0.0..0.02f64) {
        let mirrored = match verdicts(&[vec![difference(-value, standard_error)]], 0.02, ALPHA)[0] {
            Verdict::Faster => Verdict::Slower,
            Verdict::Slower => Verdict::Faster,
            same @ (Verdict::Same | Verdict::Unclear) => same,
        };
        prop_assert_eq!(verdicts(&[vec![difference(value, standard_error)]], 0.02, ALPHA)[0], mirrored);
    }
}
