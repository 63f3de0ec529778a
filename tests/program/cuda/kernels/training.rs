//! Weight updates and loss scaling.

use super::harness::*;

const LR: f32 = 0.01;
const MOMENTUM: f32 = 0.9;
const DECAY: f32 = 0.0005;

/// (w, v) after one step, in f64.
fn reference(w: &[f64], v: &[f64], g: &[f64], unscale: f64) -> (Vec<f64>, Vec<f64>) {
    let (lr, momentum, decay) = (f64::from(LR), f64::from(MOMENTUM), f64::from(DECAY));
    let v: Vec<f64> = (0..w.len()).map(|i| momentum * v[i] + g[i] * unscale + decay * w[i]).collect();
    ((0..w.len()).map(|i| w[i] - lr * v[i]).collect(), v)
}

/// `LossScale` as the kernels lay it out.
fn loss_scale(scale: f32, found: u32, skip: u32, good_steps: u32, skipped: u32) -> Buffer<u32> {
    Buffer::of(&[scale.to_bits(), (1.0 / scale).to_bits(), found, skip, good_steps, skipped])
}

#[test]
fn sgd_in_f32() {
    for n in SIZES {
        let (w, v, g) = (numbers::<f32>(n, 20), numbers::<f32>(n, 21), numbers::<f32>(n, 22));
        let (bw, bv, bg) = (Buffer::<f32>::narrowed(&w), Buffer::<f32>::narrowed(&v), Buffer::<f32>::narrowed(&g));
        launch_over("sgd_f32", n, &[&bw, &bv, &bg, &0u64, &LR, &MOMENTUM, &DECAY, &(n as u32)]);
        let (ew, ev) = reference(&w, &v, &g, 1.0);
        assert_close(&bw.wide(), &ew, 1e-7, 1.0);
        assert_close(&bv.wide(), &ev, 2e-7, 1.0);
    }
}

#[test]
fn sgd_with_master_weights() {
    fn check<T: Storage>() {
        for n in SIZES {
            let (w, v, g) = (numbers::<f32>(n, 23), numbers::<f32>(n, 24), numbers::<T>(n, 25));
            let (bw, bv, bg) = (Buffer::<f32>::narrowed(&w), Buffer::<f32>::narrowed(&v), Buffer::<T>::narrowed(&g));
            let copy = Buffer::<T>::fresh(n);
            let state = loss_scale(4.0, 0, 0, 0, 0);
            let name = format!("sgd_{}", T::SUFFIX);
            launch_over(&name, n, &[&bw, &bv, &copy, &bg, &state, &LR, &MOMENTUM, &DECAY, &(n as u32)]);
            let (ew, ev) = reference(&w, &v, &g, 0.25);
            assert_close(&bw.wide(), &ew, 1e-7, 1.0);
            assert_close(&bv.wide(), &ev, 2e-7, 1.0);
            let rounded: Vec<f64> = bw.wide().iter().map(|&w| T::narrow(w).wide()).collect();
            assert_same(&copy.wide(), &rounded);
        }
    }
    check::<half::f16>();
    check::<half::bf16>();
    skewed(check::<half::f16>);
}

#[test]
fn a_skipped_update_changes_nothing() {
    let (w, v) = (Buffer::of(&[1f32; 40]), Buffer::of(&[2f32; 40]));
    let (copy, g) = (Buffer::of(&[3u16; 40]), Buffer::of(&[f32::NAN; 40]));
    let state = loss_scale(4.0, 0, 1, 0, 1);
    launch_over("sgd_f32", 40, &[&w, &v, &g, &state, &LR, &MOMENTUM, &DECAY, &40u32]);
    launch_over("sgd_f16", 40, &[&w, &v, &copy, &copy, &state, &LR, &MOMENTUM, &DECAY, &40u32]);
    assert_eq!((w.read(), v.read(), copy.read()), (vec![1.0; 40], vec![2.0; 40], vec![3; 40]));
}

#[test]
fn the_check_finds_one_bad_value_anywhere() {
    fn check<T: Storage>() {
        let name = format!("loss_scale_check_{}", T::SUFFIX);
        for n in SIZES {
            for (bad, at) in
                [(None, 0), (Some(f64::NAN), n - 1), (Some(f64::INFINITY), n / 2), (Some(f64::NEG_INFINITY), 0)]
            {
                let mut g = numbers::<T>(n, 26);
                g[at] = bad.unwrap_or(g[at]);
                let state = loss_scale(1.0, 0, 0, 0, 0);
                launch_over(&name, n, &[&Buffer::<T>::narrowed(&g), &state, &(n as u32)]);
                assert_eq!(state.read()[2], u32::from(bad.is_some()), "{bad:?} at {at} of {n}");
            }
        }
    }
    for_each_type!(check());
}

/// Halved after a bad step, doubled after two good ones, never above the limit.
#[test]
fn the_scale_moves_as_agreed() {
    let decide = |state: &Buffer<u32>| {
        launch("loss_scale_decide", [1, 1, 1], [1, 1, 1], &[state, &2f32, &0.5f32, &16f32, &2u32]);
        let s = state.read();
        (f32::from_bits(s[0]), f32::from_bits(s[1]), s[2], s[3], s[4], s[5])
    };
    let bad = loss_scale(8.0, 1, 0, 1, 5);
    assert_eq!(decide(&bad), (4.0, 0.125, 0, 1, 0, 6));
    let good = loss_scale(8.0, 0, 1, 0, 5);
    assert_eq!(decide(&good), (8.0, 0.125, 0, 0, 1, 5));
    assert_eq!(decide(&good), (16.0, 0.125, 0, 0, 0, 5));
    assert_eq!(decide(&good), (16.0, 0.0625, 0, 0, 1, 5));
    assert_eq!(decide(&good), (16.0, 0.0625, 0, 0, 0, 5));
}
