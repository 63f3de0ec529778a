//! Dropout and its counter-based masks.

use super::harness::*;

/// Philox4x32-10 written from the paper's definition, word by word.
fn philox(counter: [u32; 4], key: u64) -> [u32; 4] {
    let (mut c, mut k) = (counter, [key as u32, (key >> 32) as u32]);
    for _ in 0..10 {
        let (p0, p1) = (u64::from(c[0]) * 0xD251_1F53, u64::from(c[2]) * 0xCD9E_8D57);
        c = [(p1 >> 32) as u32 ^ c[1] ^ k[0], p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k[1], p0 as u32];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

/// The known answers of Random123's `kat_vectors`.
#[test]
fn the_reference_gives_the_published_answers() {
    assert_eq!(philox([0; 4], 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    assert_eq!(philox([u32::MAX; 4], u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    let pi = philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], 0x299f_31d0_a409_3822);
    assert_eq!(pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}

/// (images, channels, spatial) for C,H,W and for NHWC memory order.
#[test]
fn dropout_draws_the_agreed_bits() {
    fn check<T: Storage>() {
        let (p, seed, layer, step) = (0.4f32, 0x0123_4567_89ab_cdefu64, 17u32, 3u32);
        for (images, channels, spatial, nhwc) in [
            (1, 1, 1, false),
            (3, 1, 31, false),
            (4, 32, 1, false),
            (5, 3, 11, true),
            (6, 1, 1023, false),
            (7, 205, 5, true),
            (9, 7, 1000, true),
            (6, 16, 9, true),
            (5, 2, 12, true),
        ] {
            let features = channels * spatial;
            let n = images * features;
            let x = numbers::<T>(n, 8);
            let (bx, by, mask) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n), Buffer::<u8>::fresh(n));
            // One random number for each element, each channel, each image.
            let together = [1, spatial, features][images % 3];
            let arguments: [&dyn Argument; 11] = [
                &bx,
                &by,
                &mask,
                &(images as u32),
                &divisor(features),
                &divisor(if nhwc { channels } else { 1 }),
                &divisor(together),
                &p,
                &seed,
                &layer,
                &step,
            ];
            launch_over(&format!("dropout_forward_{}", T::SUFFIX), features * images.div_ceil(4), &arguments);

            let mut kept = vec![0u8; n];
            for (image, c, s) in
                (0..images).flat_map(|i| (0..channels).flat_map(move |c| (0..spatial).map(move |s| (i, c, s))))
            {
                let word =
                    philox([((c * spatial + s) / together) as u32, image as u32 / 4, layer, step], seed)[image % 4];
                let at = image * features + if nhwc { s * channels + c } else { c * spatial + s };
                kept[at] = u8::from(f64::from(word >> 8) / f64::from(1u32 << 24) >= f64::from(p));
            }
            assert_eq!(mask.read(), kept);
            let scaled = |v: &[f64]| -> Vec<f64> {
                v.iter().zip(&kept).map(|(v, &k)| v * f64::from(k) / (1.0 - f64::from(p))).collect()
            };
            assert_close(&by.wide(), &scaled(&x), T::EPSILON * 2.0, 0.0);

            let dy = numbers::<T>(n, 9);
            let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(n));
            let backward = format!("dropout_backward_{}", T::SUFFIX);
            launch_over(&backward, n, &[&bdy, &mask, &bdx, &p, &0u32, &(n as u32)]);
            assert_close(&bdx.wide(), &scaled(&dy), T::EPSILON * 2.0, 0.0);
            launch_over(&backward, n, &[&bdy, &mask, &bdx, &p, &1u32, &(n as u32)]);
            assert_close(&bdx.wide(), &scaled(&dy).iter().map(|v| 2.0 * v).collect::<Vec<_>>(), T::EPSILON * 4.0, 0.0);
        }
    }
    for_each_type!(check());
}

/// Over 70,000 draws the kept fraction is within five standard deviations of 1 − p.
#[test]
fn dropout_keeps_the_asked_fraction() {
    let n = 70_001usize;
    let (x, y, mask) = (Buffer::of(&vec![1f32; n]), Buffer::<f32>::fresh(n), Buffer::<u8>::fresh(n));
    launch_over(
        "dropout_forward_f32",
        n,
        &[&x, &y, &mask, &1u32, &divisor(n), &divisor(1), &divisor(1), &0.5f32, &42u64, &1u32, &0u32],
    );
    let kept: usize = mask.read().iter().map(|&k| usize::from(k)).sum();
    let deviation = (n as f64 * 0.25).sqrt();
    assert!((kept as f64 - n as f64 / 2.0).abs() < 5.0 * deviation, "{kept} of {n}");
}
