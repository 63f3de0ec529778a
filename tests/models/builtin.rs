//! Built-in networks against what PyTorch counts in torchvision's, see `export_onnx.py`.

use layertime::model::Model;

use crate::onnx::counts;

#[test]
fn built_in_networks_have_torchvisions_counts() {
    for (name, parameters, macs) in [
        ("resnet18", 11_689_512, 1_814_073_344),
        ("resnet34", 21_797_672, 3_663_761_408),
        ("resnet50", 25_557_032, 4_089_184_256),
        ("resnet101", 44_549_160, 7_801_405_440),
        ("resnet152", 60_192_808, 11_513_626_624),
        ("inception-v3", 23_834_568, 5_713_216_096),
        // timm counts 42.68 M; multiply-adds by a network of the same modules in PyTorch.
        ("inception-v4", 42_679_816, 12_253_974_624),
        ("squeezenet1_1", 1_235_496, 349_151_936),
        ("googlenet", 13_004_888, 1_506_748_416),
        ("mobilenet-v2", 3_504_872, 300_774_272),
        ("mobilenet-v3-large", 5_483_032, 216_589_760),
        ("efficientnet-b0", 5_288_548, 385_814_752),
        ("convnext-tiny", 28_589_128, 4_455_531_264),
        ("densenet121", 7_978_856, 2_834_161_664),
        // By a network of the same modules in PyTorch, after the paper and its authors' encoder.
        ("enet", 466_903, 311_206_656),
    ] {
        assert_eq!(counts(&Model::named(name).unwrap()), (parameters, macs), "{name}");
    }
}

/// A batch norm has two numbers per channel where a convolution's bias has one.
#[test]
fn networks_with_batch_norms_differ_by_them() {
    let parameters = |name: &str| counts(&Model::named(name).unwrap()).0;
    // 3 · 96 + 3 · 256 + 3 · 384 + 1024 + 1024 + 1000 channels.
    assert_eq!(parameters("bn-nin"), parameters("nin") + 5256);
    // 64 + 192 + 384 + 256 + 256 channels, and twice 2 · 4096 of the fully connected layers.
    assert_eq!(parameters("bn-alexnet"), parameters("alexnet") + 1152 + 16_384);
}

/// `layertime inspect --toml` gives a description of the same network.
#[test]
fn every_network_reads_back_from_its_own_toml() {
    for name in Model::names() {
        let model = Model::named(name).unwrap();
        let again = Model::parse(&model.to_toml(), "t.toml").unwrap();
        assert_eq!((&again.name, again.input), (&model.name, model.input));
        for (again, layer) in again.layers.iter().zip(&model.layers) {
            assert_eq!((&again.name, &again.kind, &again.inputs), (&layer.name, &layer.kind, &layer.inputs));
        }
    }
}
