use super::*;
use crate::model::Model;
use crate::plan::Options;

fn step(model: &str, batch: usize) -> Step {
    let options = Options::of_batch(batch);
    Step::new(Plan::new(&Model::named(model).unwrap(), options).unwrap())
}

/// Layers with weights: name, output, parameters, multiply-adds of one image's forward.
type Weighted = (&'static str, &'static str, u64, u64);

fn check(model: &str, expected: &[Weighted], parameters: u64, macs: u64) {
    let rows = rows(&step(model, 1).plan);
    let weighted: Vec<&LayerRow> = rows.iter().filter(|row| row.parameters > 0 && row.kind != "batchnorm").collect();
    assert_eq!(weighted.len(), expected.len(), "{model}");
    for (index, (row, &(name, output, parameters, macs))) in weighted.into_iter().zip(expected).enumerate() {
        assert_eq!((row.layer.as_str(), row.output.as_str()), (name, output), "{model}");
        assert_eq!((row.parameters, row.macs_forward), (parameters, macs), "{model} {name}");
        assert_eq!(row.macs_backward_data, if index == 0 { 0 } else { macs }, "{model} {name}");
        assert_eq!((row.macs_backward_weights, row.weight_bytes), (macs, 4 * parameters), "{model} {name}");
    }
    assert_eq!(rows.iter().map(|row| row.parameters).sum::<u64>(), parameters, "{model}");
    assert_eq!(rows.iter().map(|row| row.macs_forward).sum::<u64>(), macs, "{model}");
}

/// The total is torchvision's own; 55² · 64 · 11² · 3 and so on by hand.
#[test]
fn alexnet() {
    let layers = [
        ("conv1", "64x55x55", 23_296, 70_276_800),
        ("conv2", "192x27x27", 307_392, 223_948_800),
        ("conv3", "384x13x13", 663_936, 112_140_288),
        ("conv4", "256x13x13", 884_992, 149_520_384),
        ("conv5", "256x13x13", 590_080, 99_680_256),
        ("fc6", "4096", 37_752_832, 37_748_736),
        ("fc7", "4096", 16_781_312, 16_777_216),
        ("fc8", "1000", 4_097_000, 4_096_000),
    ];
    check("alexnet", &layers, 61_100_840, 714_188_480);
}

/// Caffe's bvlc_alexnet: conv2, conv4 and conv5 in two groups see half of their input's channels.
#[test]
fn alexnet_2012() {
    let layers = [
        ("conv1", "96x55x55", 34_944, 105_415_200),
        ("conv2", "256x27x27", 307_456, 223_948_800),
        ("conv3", "384x13x13", 885_120, 149_520_384),
        ("conv4", "384x13x13", 663_936, 112_140_288),
        ("conv5", "256x13x13", 442_624, 74_760_192),
        ("fc6", "4096", 37_752_832, 37_748_736),
        ("fc7", "4096", 16_781_312, 16_777_216),
        ("fc8", "1000", 4_097_000, 4_096_000),
    ];
    check("alexnet-2012", &layers, 60_965_224, 724_406_816);
}

// VGG's 3x3 convolutions by input channels, output channels and side: the weights are those of the course slide on
// VGG-16's memory (CS231n), without biases: 1,728, 36,864, 73,728, ...
const C64_3: (u64, u64) = (1_728, 64);
const C64: (u64, u64) = (36_864, 64);
const C128_64: (u64, u64) = (73_728, 128);
const C128: (u64, u64) = (147_456, 128);
const C256_128: (u64, u64) = (294_912, 256);
const C256: (u64, u64) = (589_824, 256);
const C512_256: (u64, u64) = (1_179_648, 512);
const C512: (u64, u64) = (2_359_296, 512);

fn vgg(model: &str, convolutions: &[(&'static str, &'static str, u64, (u64, u64))], parameters: u64, macs: u64) {
    let conv = convolutions
        .iter()
        .map(|&(name, output, side, (weights, biases))| (name, output, weights + biases, side * side * weights));
    let fc = [
        ("fc6", "4096", 102_760_448 + 4096, 102_760_448),
        ("fc7", "4096", 16_777_216 + 4096, 16_777_216),
        ("fc8", "1000", 4_096_000 + 1000, 4_096_000),
    ];
    check(model, &conv.chain(fc).collect::<Vec<_>>(), parameters, macs);
}

#[test]
fn vgg11() {
    let layers = [
        ("conv1_1", "64x224x224", 224, C64_3),
        ("conv2_1", "128x112x112", 112, C128_64),
        ("conv3_1", "256x56x56", 56, C256_128),
        ("conv3_2", "256x56x56", 56, C256),
        ("conv4_1", "512x28x28", 28, C512_256),
        ("conv4_2", "512x28x28", 28, C512),
        ("conv5_1", "512x14x14", 14, C512),
        ("conv5_2", "512x14x14", 14, C512),
    ];
    vgg("vgg11", &layers, 132_863_336, 7_609_090_048);
}

#[test]
fn vgg16() {
    let layers = [
        ("conv1_1", "64x224x224", 224, C64_3),
        ("conv1_2", "64x224x224", 224, C64),
        ("conv2_1", "128x112x112", 112, C128_64),
        ("conv2_2", "128x112x112", 112, C128),
        ("conv3_1", "256x56x56", 56, C256_128),
        ("conv3_2", "256x56x56", 56, C256),
        ("conv3_3", "256x56x56", 56, C256),
        ("conv4_1", "512x28x28", 28, C512_256),
        ("conv4_2", "512x28x28", 28, C512),
        ("conv4_3", "512x28x28", 28, C512),
        ("conv5_1", "512x14x14", 14, C512),
        ("conv5_2", "512x14x14", 14, C512),
        ("conv5_3", "512x14x14", 14, C512),
    ];
    vgg("vgg16", &layers, 138_357_544, 15_470_264_320);
}

/// 143,667,240 parameters is torchvision's own figure.
#[test]
fn vgg19() {
    let layers = [
        ("conv1_1", "64x224x224", 224, C64_3),
        ("conv1_2", "64x224x224", 224, C64),
        ("conv2_1", "128x112x112", 112, C128_64),
        ("conv2_2", "128x112x112", 112, C128),
        ("conv3_1", "256x56x56", 56, C256_128),
        ("conv3_2", "256x56x56", 56, C256),
        ("conv3_3", "256x56x56", 56, C256),
        ("conv3_4", "256x56x56", 56, C256),
        ("conv4_1", "512x28x28", 28, C512_256),
        ("conv4_2", "512x28x28", 28, C512),
        ("conv4_3", "512x28x28", 28, C512),
        ("conv4_4", "512x28x28", 28, C512),
        ("conv5_1", "512x14x14", 14, C512),
        ("conv5_2", "512x14x14", 14, C512),
        ("conv5_3", "512x14x14", 14, C512),
        ("conv5_4", "512x14x14", 14, C512),
    ];
    vgg("vgg19", &layers, 143_667_240, 19_632_062_464);
}

/// 8 · 3 · 9; 8 · 4 · 9 + 8 in two groups; 8 · 8 + 8; 256 · 16 + 16; 16 · 10 + 10; and batchnorm's 16.
#[test]
fn tiny() {
    let layers = [
        ("conv1", "8x16x16", 216, 55_296),
        ("conv2", "8x8x8", 296, 18_432),
        ("conv3", "8x8x8", 72, 4_096),
        ("fc5", "16", 4_112, 4_096),
        ("fc6", "10", 170, 160),
    ];
    check("tiny", &layers, 4_882, 82_080);
}

/// The slide's activations of VGG-16 are numbers per image: 3.2 M after conv1_1, 100 K after pool4, 25 K after pool5.
#[test]
fn activations_are_those_of_the_batch() {
    let rows = rows(&step("vgg16", 2).plan);
    let bytes = |name: &str| rows.iter().find(|row| row.layer == name).unwrap().activation_bytes;
    assert_eq!(bytes("conv1_1"), 2 * 4 * 3_211_264);
    assert_eq!(bytes("pool4"), 2 * 4 * 100_352);
    assert_eq!(bytes("pool5"), 2 * 4 * 25_088);
    let flatten = super::rows(&step("tiny", 2).plan).into_iter().find(|row| row.kind == "flatten").unwrap();
    assert_eq!((flatten.output.as_str(), flatten.activation_bytes), ("256", 0));
}

#[test]
fn csv_of_tiny() {
    let text = String::from_utf8(csv(&step("tiny", 1).plan).unwrap()).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next().unwrap(),
        "layer,kind,output,parameters,macs_forward,macs_backward_data,macs_backward_weights,activation_bytes,weight_bytes"
    );
    assert_eq!(lines.next().unwrap(), "conv1,conv,8x16x16,216,55296,0,55296,8192,864");
    assert_eq!(text.lines().last().unwrap(), "loss,softmax_loss,10,0,0,0,0,40,0");
    assert_eq!(text.lines().count(), 1 + 17);
}

#[test]
fn table_of_alexnet() {
    let wide = text(&step("alexnet", 1), By::Layer, None, Room::Wide);
    assert!(wide.contains("61,100,840") && wide.contains("714,188,480"));
    let text = text(&step("alexnet", 1), By::Layer, None, Room::Terminal);
    assert!(text.contains("61.10 M") && text.contains("714.2 M"));
    // fc has 96.0 % of the parameters and 8.2 % of the multiply-adds; without conv1, 9.1 % of backward_data's.
    let fc = text.lines().find(|line| line.starts_with("fc ")).unwrap();
    assert_eq!(fc.split_whitespace().collect::<Vec<_>>(), ["fc", "96.0", "8.2", "9.1", "8.2"]);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// ResNet-18 in blocks: 64 · 3 · 49 weights in conv1; two of 64 · 64 · 9 and two batch norms of 128 in layer1.0.
#[test]
fn tables_by_block_and_kind() {
    let step = step("resnet18", 1);
    let lines = |by, top| -> Vec<Vec<String>> {
        let text = text(&step, by, top, Room::Wide);
        let table =
            text.lines().skip_while(|line| !line.starts_with("---")).skip(1).take_while(|line| !line.is_empty());
        table.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let blocks = lines(By::Block, None);
    assert_eq!(blocks[0][..4], ["conv1", "conv", "64x112x112", "9,408"]);
    let first = blocks.iter().find(|line| line[0] == "layer1.0").unwrap();
    assert_eq!(first[1..5], ["7", "layers", "64x56x56", "73,984"]);
    let kinds = lines(By::Kind, None);
    assert_eq!(kinds.iter().find(|line| line[0] == "batchnorm").unwrap()[1..3], ["20", "layers"]);
    // 69 layers, of which the 20 convolutions have most multiply-adds.
    let short = lines(By::Layer, None);
    assert_eq!(short.iter().filter(|line| line[1] == "conv").count(), 20);
    assert!(short[20][1] == "others" && short[21][0] == "total" && short.len() == 22, "{short:?}");
    assert_eq!(short[21], lines(By::Layer, Some(usize::MAX)).pop().unwrap());
}
