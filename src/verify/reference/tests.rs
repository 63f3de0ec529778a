//! Every backward formula against central differences of its forward; forward formulas against hand arithmetic. (PyTorch's
//! results are checked with the exported files of tests/reference.)

use super::*;
use crate::model::Model;
use crate::model::kind::SoftmaxLoss;
use crate::philox::{Philox, RandomStream};
use crate::plan::{Options, Plan};

/// The first layer of a network that begins with `layer` on a `c`×`h`×`w` image.
fn first_layer([c, h, w]: [usize; 3], batch: usize, layer: &str) -> LayerPlan {
    let text = format!(
        "name = \"one\"\ninput = [{c}, {h}, {w}]\n[[layer]]\nname = \"it\"\n{layer}\n\
         [[layer]]\nname = \"fc\"\nkind = \"fc\"\noutputs = 2\n[[layer]]\nname = \"loss\"\nkind = \"softmax_loss\"\n"
    );
    let model = Model::parse(&text, "test").unwrap();
    Plan::new(&model, Options { input_gradient: true, ..Options::of_batch(batch) }).unwrap().layers.remove(0)
}

fn noise(seed: u64, count: usize) -> Vec<f64> {
    (0..count).map(|index| f64::from(2.0 * Philox::new(seed).uniform(RandomStream::Images, index) - 1.0)).collect()
}

/// Central differences of `loss` by each element of `values`.
fn differences(values: &[f64], loss: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const H: f64 = 1e-5;
    let at = |index: usize, shift: f64| {
        let mut shifted = values.to_vec();
        shifted[index] += shift;
        loss(&shifted)
    };
    (0..values.len()).map(|index| (at(index, H) - at(index, -H)) / (2.0 * H)).collect()
}

#[track_caller]
fn assert_close(actual: &[f64], expected: &[f64], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let difference: Vec<f64> = actual.iter().zip(expected).map(|(a, b)| a - b).collect();
    assert!(norm(&difference) <= 1e-8 * norm(expected).max(1e-3), "{what}: {actual:?} is not {expected:?}");
}

/// The loss is Σ r · y with r random, so that dy = r.
#[track_caller]
fn check_gradients(image: [usize; 3], layer: &str) {
    let (plan, what) = (first_layer(image, 3, layer), layer);
    let inputs: Vec<Vec<f64>> =
        plan.input_shapes.iter().enumerate().map(|(slot, shape)| noise(slot as u64, shape.elements())).collect();
    let (weights, biases) = (noise(10, plan.weights as usize), noise(11, plan.biases as usize));
    let (r, mask) = (noise(12, plan.output.elements()), noise(13, plan.output.elements()));
    let mask: Vec<f64> = mask.iter().map(|&value| if value > 0.0 { 1.0 } else { 0.0 }).collect();
    let lend = |inputs: &[Vec<f64>], weights: &[f64], biases: &[f64]| -> f64 {
        let inputs = inputs.iter().map(Vec::as_slice).collect();
        let y = forward(&plan, &Operands { inputs, weights, biases, mask: Some(&mask), ..Operands::default() });
        assert_eq!(y.len(), r.len(), "{what}");
        y.iter().zip(&r).map(|(y, r)| y * r).sum()
    };
    let lent = inputs.iter().map(Vec::as_slice).collect();
    let output =
        Operands { inputs: lent, weights: &weights, biases: &biases, mask: Some(&mask), ..Operands::default() };
    let output = forward(&plan, &output);
    let operands = Operands {
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        output: &output,
        output_gradient: &r,
        weights: &weights,
        biases: &biases,
        mask: Some(&mask),
        labels: &[],
    };
    for slot in 0..inputs.len() {
        let numerical = differences(&inputs[slot], |values| {
            let mut inputs = inputs.clone();
            inputs[slot] = values.to_vec();
            lend(&inputs, &weights, &biases)
        });
        assert_close(&backward_data(&plan, slot, &operands), &numerical, what);
    }
    let [dw, db] = backward_weights(&plan, &operands);
    assert_close(&dw, &differences(&weights, |weights| lend(&inputs, weights, &biases)), what);
    assert_close(&db, &differences(&biases, |biases| lend(&inputs, &weights, biases)), what);
}

#[test]
fn gradients_of_convolutions() {
    for options in [
        "kernel = 3\npad = 1",
        "kernel = 3\npad = 1\nbias = false",
        "kernel = [3, 2]\nstride = [2, 3]\npad = [2, 0]",
        "kernel = [1, 4]\nstride = [3, 1]\npad = [0, 3]\ngroups = 2",
        "kernel = 7\npad = 3\ngroups = 4",
        "kernel = 2\nstride = 4\npad = 2",
        "kernel = [2, 3]\ndilation = [3, 2]\nstride = [1, 2]\npad = [1, 2, 0, 3]",
        "kernel = [4, 3]\nstride = [1, 2]\npad = \"same\"",
    ] {
        check_gradients([4, 5, 6], &format!("kind = \"conv\"\nchannels = 4\n{options}"));
    }
}

#[test]
fn gradients_of_transposed_convolutions() {
    for options in [
        "kernel = 3\npad = 1",
        "kernel = [3, 2]\nstride = [2, 3]\npad = [1, 0]\noutput_padding = [1, 2]\nbias = false",
        "kernel = [1, 4]\nstride = [3, 1]\npad = [0, 2]\ngroups = 2",
        "kernel = [2, 3]\ndilation = [3, 2]\nstride = [1, 2]\npad = [1, 2, 0, 3]\ngroups = 4",
    ] {
        check_gradients([4, 5, 6], &format!("kind = \"conv_transpose\"\nchannels = 4\n{options}"));
    }
}

#[test]
fn gradients_of_the_other_kinds() {
    for layer in [
        "kind = \"fc\"\noutputs = 3",
        "kind = \"fc\"\noutputs = 1\nbias = false",
        "kind = \"relu\"",
        "kind = \"sigmoid\"",
        "kind = \"maxpool\"\nkernel = 3\nstride = 2",
        "kind = \"maxpool\"\nkernel = [3, 2]\nstride = [1, 2]\npad = [1, 0]\nceil = true",
        "kind = \"avgpool\"\nkernel = 3\nstride = 2\npad = 1\nceil = true",
        "kind = \"avgpool\"\nkernel = 3\nstride = 2\npad = [0, 1, 2, 1]\ncount_include_pad = false",
        "kind = \"maxpool\"\nkernel = 3\nstride = 2\npad = \"same\"",
        "kind = \"avgpool\"\noutput = [2, 4]",
        "kind = \"lrn\"\nsize = 3\nalpha = 0.7\nbeta = 0.75\nk = 1.5",
        "kind = \"lrn\"\nsize = 4\nalpha = 0.7\nbeta = 0.5\nk = 1.0",
        "kind = \"lrn\"\nsize = 9\nalpha = 2.0\nbeta = 1.0\nk = 0.5",
        "kind = \"lrn\"\nsize = 3\nalpha = 0.7\nbeta = 0.75\nk = 1.5\nwithin_channel = true",
        "kind = \"dropout\"\np = 0.4",
        "kind = \"flatten\"",
        "kind = \"batchnorm\"",
        "kind = \"batchnorm\"\neps = 0.3",
        "kind = \"layernorm\"",
        "kind = \"layernorm\"\neps = 0.3",
        "kind = \"scale\"",
        "kind = \"scale\"\nbias = true",
        "kind = \"prelu\"",
        "kind = \"prelu\"\nshared = true",
        "kind = \"slice\"\nfrom = 1\nchannels = 2",
        "kind = \"channel_shuffle\"\ngroups = 2",
        "kind = \"pad_channels\"\nbefore = 2\nafter = 1",
        "kind = \"maxpool\"\nkernel = [2, 3]\nstride = [2, 1]\ndilation = [3, 2]\npad = [0, 1]",
        "kind = \"maxpool\"\nkernel = 2\nstride = 3\ndilation = 2\nceil = true",
        "kind = \"stochastic_depth\"\np = 0.4",
        "kind = \"add\"\ninputs = [\"input\", \"input\", \"input\"]",
        "kind = \"multiply\"\ninputs = [\"input\", \"input\"]",
        "kind = \"concat\"\ninputs = [\"input\", \"input\"]",
    ] {
        check_gradients([4, 5, 6], layer);
    }
}

#[test]
fn gradient_of_the_loss() {
    let (labels, x) = ([2, 0, 1], noise(1, 12));
    let plan = first_layer([4, 1, 1], 3, "kind = \"relu\"");
    let kind = Kind::SoftmaxLoss(SoftmaxLoss { loss_weight: 0.3 });
    let loss_layer = LayerPlan { kind, ..plan };
    let loss_of = |x: &[f64]| loss(&loss_layer, &Operands { inputs: vec![x], labels: &labels, ..Operands::default() });
    let probabilities = forward(&loss_layer, &Operands { inputs: vec![&x], ..Operands::default() });
    let operands = Operands { output: &probabilities, labels: &labels, ..Operands::default() };
    assert_close(&backward_data(&loss_layer, 0, &operands), &differences(&x, loss_of), "softmax_loss");
}

#[track_caller]
fn check_forward(image: [usize; 3], layer: &str, x: &[f64], weights: &[f64], biases: &[f64], expected: &[f64]) {
    let plan = first_layer(image, x.len() / image.iter().product::<usize>(), layer);
    let mask: Vec<f64> = (0..x.len()).map(|index| (index % 2) as f64).collect();
    let operands = Operands { inputs: vec![x], weights, biases, mask: Some(&mask), ..Operands::default() };
    assert_close(&forward(&plan, &operands), expected, layer);
}

#[test]
fn forward_by_hand() {
    let nine = [1., 2., 3., 4., 5., 6., 7., 8., 9.];
    // The windows meet [1], [2 3], [4 7] and [5 6 8 9].
    let conv = "kind = \"conv\"\nchannels = 1\nkernel = 2\nstride = 2\npad = 1";
    check_forward([1, 3, 3], conv, &nine, &[1., 10., 100., 1000.], &[0.5], &[1000.5, 3200.5, 7040.5, 9865.5]);
    check_forward(
        [3, 1, 1],
        "kind = \"fc\"\noutputs = 2",
        &[1., 2., 3.],
        &[1., 0., 1., 0., 2., 0.],
        &[5., 6.],
        &[9., 10.],
    );
    check_forward([1, 1, 3], "kind = \"relu\"", &[-1., 0., 2.], &[], &[], &[0., 0., 2.]);
    let ln_3 = 3f64.ln();
    check_forward([1, 1, 3], "kind = \"sigmoid\"", &[-ln_3, 0., ln_3], &[], &[], &[0.25, 0.5, 0.75]);
    check_forward([1, 3, 3], "kind = \"maxpool\"\nkernel = 2\nstride = 1", &nine, &[], &[], &[5., 6., 8., 9.]);
    // Ceil: the last windows cover one column or row; floor would drop them.
    check_forward([1, 3, 3], "kind = \"maxpool\"\nkernel = 2\nceil = true", &nine, &[], &[], &[5., 6., 8., 9.]);
    // Padding counts: corners (1) / 4, (2 + 3) / 4, (4 + 7) / 4, (5 + 6 + 8 + 9) / 4.
    let average = "kind = \"avgpool\"\nkernel = 2\npad = 1";
    check_forward([1, 3, 3], average, &nine, &[], &[], &[0.25, 1.25, 2.75, 7.0]);
    let within = "kind = \"avgpool\"\nkernel = 2\npad = 1\ncount_include_pad = false";
    check_forward([1, 3, 3], within, &nine, &[], &[], &[1.0, 2.5, 5.5, 7.0]);
    // Taps two apart: 1 + 2·3 and so on at the corners of 3 × 3.
    let dilated = "kind = \"conv\"\nchannels = 1\nkernel = 2\ndilation = 2\nbias = false";
    check_forward([1, 3, 3], dilated, &nine, &[1., 10., 100., 1000.], &[], &[9731.]);
    // One column of zeros on the right, one row at the end.
    let same = "kind = \"conv\"\nchannels = 1\nkernel = 2\nstride = 2\npad = \"same\"\nbias = false";
    check_forward([1, 3, 3], same, &nine, &[1., 10., 100., 1000.], &[], &[5421., 603., 87., 9.]);
    // The filter 1 10 for each input, one apart, two apart and with a column more, and without the first and last column.
    let transposed = "kind = \"conv_transpose\"\nchannels = 1\nkernel = [1, 2]";
    check_forward([1, 1, 2], transposed, &[1., 2.], &[1., 10.], &[0.5], &[1.5, 12.5, 20.5]);
    let apart = format!("{transposed}\nstride = [1, 2]\noutput_padding = [0, 1]\nbias = false");
    check_forward([1, 1, 2], &apart, &[1., 2.], &[1., 10.], &[], &[1., 10., 2., 20., 0.]);
    let cut = format!("{transposed}\npad = [0, 1]\nbias = false");
    check_forward([1, 1, 2], &cut, &[1., 2.], &[1., 10.], &[], &[12.]);
    // Adaptive 3 → 2: windows 0..2 and 1..3.
    check_forward([1, 3, 3], "kind = \"avgpool\"\noutput = [2, 2]", &nine, &[], &[], &[3., 4., 6., 7.]);
    // s = 1 + 3/3 · Σ x² of neighbours: 1 + 1 + 4, 1 + 1 + 4 + 4, 1 + 4 + 4.
    let lrn = "kind = \"lrn\"\nsize = 3\nalpha = 3.0\nbeta = 1.0\nk = 1.0";
    check_forward([3, 1, 1], lrn, &[1., 2., 2.], &[], &[], &[1. / 6., 2. / 10., 2. / 9.]);
    // s = 1 + 9/9 · Σ x² of the pixels around: 1 + 1 + 4, 1 + 1 + 4 + 4, 1 + 4 + 4.
    let within = "kind = \"lrn\"\nsize = 3\nalpha = 9.0\nbeta = 1.0\nk = 1.0\nwithin_channel = true";
    check_forward([1, 1, 3], within, &[1., 2., 2.], &[], &[], &[1. / 6., 2. / 10., 2. / 9.]);
    // An even window reaches one further back: 1 + 1, 1 + 1 + 4, 1 + 4 + 4 for size 2 and alpha 2.
    let lrn = "kind = \"lrn\"\nsize = 2\nalpha = 2.0\nbeta = 1.0\nk = 1.0";
    check_forward([3, 1, 1], lrn, &[1., 2., 2.], &[], &[], &[1. / 2., 2. / 6., 2. / 9.]);
    check_forward([4, 1, 1], "kind = \"dropout\"\np = 0.75", &[1., 2., 3., 4.], &[], &[], &[0., 8., 0., 16.]);
    // Mean 3, variance 4, eps 12: deviation 4.
    let norm = "kind = \"batchnorm\"\neps = 12.0";
    check_forward([1, 1, 1], norm, &[1., 5.], &[2.], &[7.], &[6., 8.]);
    // The same over two channels of one pixel, with weights 2 and 4.
    let norm = "kind = \"layernorm\"\neps = 12.0";
    check_forward([2, 1, 1], norm, &[1., 5.], &[2., 4.], &[7., 7.], &[6., 9.]);
    check_forward([2, 1, 1], "kind = \"prelu\"", &[-1., -2.], &[0.5, 3.], &[], &[-0.5, -6.]);
    let slice = "kind = \"slice\"\nfrom = 1\nchannels = 2";
    check_forward([4, 1, 1], slice, &[1., 2., 3., 4.], &[], &[], &[2., 3.]);
    let shuffle = "kind = \"channel_shuffle\"\ngroups = 2";
    check_forward([4, 1, 1], shuffle, &[1., 2., 3., 4.], &[], &[], &[1., 3., 2., 4.]);
    let zeros = "kind = \"pad_channels\"\nbefore = 1\nafter = 2";
    check_forward([2, 1, 1], zeros, &[1., 2., 3., 4.], &[], &[], &[0., 1., 2., 0., 0., 0., 3., 4., 0., 0.]);
    // Corners of 3 × 3; then, with zeros around, every second of [0 1 2 3 0] from the first and the second on.
    check_forward([1, 3, 3], "kind = \"maxpool\"\nkernel = 2\nstride = 1\ndilation = 2", &nine, &[], &[], &[9.]);
    let dilated = "kind = \"maxpool\"\nkernel = [1, 3]\nstride = 1\ndilation = 2\npad = [0, 1]\nceil = true";
    check_forward([1, 1, 3], dilated, &[1., 2., 3.], &[], &[], &[2.]);
    let scale = "kind = \"scale\"\nbias = true";
    check_forward([2, 1, 2], scale, &[1., 2., 3., 4.], &[2., 10.], &[0.5, 1.], &[2.5, 4.5, 31., 41.]);
}

#[test]
fn joins_by_hand() {
    let both = |kind: &str| first_layer([1, 1, 2], 2, &format!("kind = \"{kind}\"\ninputs = [\"input\", \"input\"]"));
    let inputs: Vec<&[f64]> = vec![&[1., 2., 3., 4.], &[5., 6., 7., 8.]];
    let joined = |kind: &str| forward(&both(kind), &Operands { inputs: inputs.clone(), ..Operands::default() });
    assert_eq!(joined("add"), [6., 8., 10., 12.]);
    assert_eq!(joined("multiply"), [5., 12., 21., 32.]);
    assert_eq!(joined("concat"), [1., 2., 5., 6., 3., 4., 7., 8.]);
}

#[test]
fn loss_by_hand() {
    // Equal scores for n classes: log n. The second image is sure by 1000 and right.
    let operands = Operands { inputs: vec![&[3., 3., 0., -1000.]], labels: &[1, 0], ..Operands::default() };
    let mut layer = first_layer([2, 1, 1], 2, "kind = \"relu\"");
    assert_eq!(loss(&layer, &operands), 0.0);
    layer.kind = Kind::SoftmaxLoss(SoftmaxLoss { loss_weight: 0.5 });
    assert_close(&[loss(&layer, &operands)], &[2f64.ln() / 4.0], "loss");
}

#[test]
fn the_first_of_equal_maxima_receives_the_gradient() {
    let plan = first_layer([1, 2, 3], 1, "kind = \"maxpool\"\nkernel = 2\nstride = 1");
    let x = [1., 7., 7., 0., 7., 2.];
    let operands = Operands { inputs: vec![&x], output_gradient: &[10., 1.], ..Operands::default() };
    assert_eq!(backward_data(&plan, 0, &operands), [0., 11., 0., 0., 0., 0.]);
    assert_eq!(ties(&plan, &x), Some(vec![false, true, true, false, true, false]));
}

/// 2 × 2 windows of 1 7 | 0 2 over 7 3 | 5 9: the first maxima are the 7 at the top and the 9.
#[test]
fn unpooling_by_hand() {
    let text = "name = \"two\"\ninput = [1, 2, 4]\nlayer = [\n{ name = \"pool\", kind = \"maxpool\", kernel = 2 },\n\
                { name = \"up\", kind = \"max_unpool\", inputs = [\"pool\", \"pool\"] },\n\
                { name = \"fc\", kind = \"fc\", outputs = 2 },\n{ name = \"loss\", kind = \"softmax_loss\" },\n]\n";
    let plan = |text: &str| {
        Plan::new(&Model::parse(text, "test").unwrap(), Options { input_gradient: true, ..Options::of_batch(1) })
    };
    let layers = plan(text).unwrap().layers;
    let pooled = [1., 7., 0., 2., 7., 3., 5., 9.];
    let inputs: Vec<&[f64]> = vec![&[10., 20.], &pooled];
    let operands = Operands { inputs: inputs.clone(), ..Operands::default() };
    assert_eq!(forward(&layers[1], &operands), [0., 10., 0., 0., 0., 0., 0., 20.]);
    let operands = Operands { inputs, output_gradient: &[1., 2., 3., 4., 5., 6., 7., 8.], ..Operands::default() };
    assert_eq!(backward_data(&layers[1], 0, &operands), [2., 8.]);
    assert_eq!(
        (layers[0].gives_positions, layers[1].positions_of, &layers[1].input_gradients[..]),
        (true, Some(0), &[true, false][..])
    );
    let error = |from: &str, to: &str| plan(&text.replace(from, to)).unwrap_err().to_string();
    assert!(error("kernel = 2", "kernel = 2, stride = 1").contains("windows of its pool overlap"));
    assert!(
        error("[\"pool\", \"pool\"]", "[\"pool\", \"input\"]")
            .contains("must be the maxpool layer whose positions it takes")
    );
    let unequal = crate::plan::kinds::MaxUnpool::check(layers[0].pool(), layers[0].input()).unwrap_err().to_string();
    assert!(unequal.starts_with("puts 1x2x4 to the places of a pool that gives 1x1x2"), "{unequal}");
}

#[test]
fn momentum_sgd_by_hand() {
    let training =
        crate::device::Training { learning_rate: 0.5, momentum: 0.25, weight_decay: 2.0, seed: 0, dropout: true };
    // g = 3 + 2·4 = 11, v = 0.25·8 + 11 = 13, w = 4 − 0.5·13.
    assert_eq!(update(&training, 4.0, 3.0, 8.0), (-2.5, 13.0));
}
