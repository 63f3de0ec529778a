//! How fast the interpreter is: `cargo test -p softcuda --release --test kernels -- --ignored --nocapture speed`.

use crate::harness::*;

#[test]
#[ignore = "prints a speed, asserts nothing"]
fn speed() {
    let n = 16 << 20;
    let (w, v, g) = (Buffer::of(&vec![1f32; n]), Buffer::of(&vec![1f32; n]), Buffer::of(&vec![1f32; n]));
    for _ in 0..3 {
        let start = std::time::Instant::now();
        launch(
            "sgd_f32",
            [(n / 256) as u32, 1, 1],
            [256, 1, 1],
            &[&w, &v, &g, &0u64, &0.1f32, &0.9f32, &0f32, &(n as u32)],
        );
        println!("sgd_f32: {:.1} M elements/s", n as f64 / start.elapsed().as_secs_f64() / 1e6);
    }
}
