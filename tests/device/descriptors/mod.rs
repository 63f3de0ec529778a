//! The plan's shapes against cuDNN's own arithmetic, which needs no GPU: every convolution and every pooling layer of every
//! built-in. softcuda answers always, the real library where `SOFTCUDA_REAL_CUDNN` names it.

mod cudnn;

use cudnn::{Cudnn, libraries};
use layertime::model::{Kind, Model};
use layertime::plan::{ConvGeometry, LayerPlan, Options, Plan, Shape};

#[test]
fn cudnn_computes_the_plans_shapes() {
    for library in libraries() {
        for model in ["alexnet", "alexnet-2012", "vgg11", "vgg16", "vgg19", "tiny"] {
            for batch in [1, 2, 7, 128] {
                let options = Options::of_batch(batch);
                let plan = Plan::new(&Model::named(model).unwrap(), options).unwrap();
                let asked = plan.layers.iter().filter(|layer| agrees(&library, layer)).count();
                assert!(asked >= 3, "{model}: {asked} layers have a shape of cuDNN's");
            }
        }
    }
}

/// Compares one layer; `false` where cuDNN computes no shape for its kind.
fn agrees(library: &Cudnn, layer: &LayerPlan) -> bool {
    let (input, output) = (layer.input_shapes[0], sizes(layer.output));
    let got = match &layer.kind {
        Kind::Conv(conv) => {
            let geometry = ConvGeometry::new(conv, input).unwrap();
            let weights =
                sizes(Shape { n: geometry.k, c: geometry.group_c(), h: geometry.kernel[0], w: geometry.kernel[1] });
            let numbers = [square(geometry.stride), square(geometry.pad), int(geometry.groups)];
            library.convolve(sizes(input), weights, numbers)
        }
        Kind::MaxPool(pool) => {
            assert!(!pool.ceil, "cuDNN has no ceil mode");
            let stride = pool.stride.unwrap_or(pool.kernel);
            let [pad, _] = pool.pad.around([input.h, input.w], pool.kernel, stride);
            let [kernel, stride, pad] = [pool.kernel, stride, pad].map(|pair| square([pair.h, pair.w]));
            library.pool(sizes(input), [kernel, stride, pad])
        }
        Kind::AvgPool(_)
        | Kind::ConvTranspose(_)
        | Kind::Fc(_)
        | Kind::Activation(_)
        | Kind::Lrn(_)
        | Kind::Dropout(_)
        | Kind::Flatten
        | Kind::BatchNorm(_)
        | Kind::LayerNorm(_)
        | Kind::Scale(_)
        | Kind::PRelu(_)
        | Kind::Slice(_)
        | Kind::ChannelShuffle(_)
        | Kind::PadChannels(_)
        | Kind::MaxUnpool
        | Kind::Add
        | Kind::Multiply
        | Kind::Concat
        | Kind::SoftmaxLoss(_) => return false,
    };
    assert_eq!(got, output, "{}, layer {}", library.name, layer.name);
    true
}

fn sizes(shape: Shape) -> [i32; 4] {
    [shape.n, shape.c, shape.h, shape.w].map(int)
}

/// The built-ins' windows are square.
fn square([h, w]: [usize; 2]) -> i32 {
    assert_eq!(h, w);
    int(h)
}

fn int(number: usize) -> i32 {
    i32::try_from(number).unwrap()
}
