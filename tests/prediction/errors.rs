//! The error tables of docs/prediction.md, computed anew.

use layertime::device::options::Search;
use layertime::plan::Phase;
use layertime::predict::{Fractions, Predicted};

use super::constants;
use super::fit::fit;
use super::published::{self, NO_UPDATE, Network, TitanX, ms};

/// No published share of conv or fc may be missed by more percentage points than this.
const BOUND: f64 = 5.0;

/// The lines of the table of shares for one network.
struct Shares {
    network: String,
    /// conv, fc, pool, relu: published and predicted, in percent of forward + backward.
    pairs: [(f64, f64); 4],
    total_ms: (f64, f64),
}

/// The constants that know nothing of this network.
fn without(titan_x: &TitanX, network: &Network) -> Fractions {
    fit(&titan_x.network.iter().filter(|other| other.name != network.name).collect::<Vec<_>>())
}

fn shares(network: &Network, predicted: &Predicted) -> Shares {
    let published: f64 = network.caffe_ms("").iter().sum();
    let pair = |beginning| {
        let share: f64 = 100.0 * network.caffe_ms(beginning).iter().sum::<f64>() / published;
        (share, 100.0 * ms(predicted, beginning, &NO_UPDATE) / (predicted.total_us() / 1e3))
    };
    Shares {
        network: format!("{} ({})", network.name, network.batch),
        pairs: ["conv", "fc", "pool", "relu"].map(pair),
        total_ms: (network.caffe_total, predicted.total_us() / 1e3),
    }
}

fn percent(published: f64, predicted: f64) -> String {
    format!("{:+.1} %", 100.0 * (predicted / published - 1.0))
}

fn share_table(rows: &[Shares]) -> String {
    let mut text = String::from(
        "| network (batch) | conv | fc | pool | relu | ms | error of ms |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for Shares { network, pairs, total_ms: (published, predicted) } in rows {
        let cells = pairs.map(|(published, predicted)| format!("{published:.1} / {predicted:.1} %"));
        let error = percent(*published, *predicted);
        text += &format!("| {network} | {} | {published:.1} / {predicted:.1} | {error} |\n", cells.join(" | "));
    }
    text
}

/// Each phase of each network in Torch.
fn torch_table(titan_x: &TitanX) -> String {
    let mut text = String::from(
        "| network (batch) | forward | input gradient | weight gradient | all | error of all |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for network in &titan_x.network {
        let predicted = network.in_torch(&without(titan_x, network));
        let torch = &network.torch;
        let published = [torch.forward, torch.backward_data, torch.backward_weights];
        let cells = NO_UPDATE
            .iter()
            .zip(published)
            .map(|(&phase, published)| format!("{published:.1} / {:.1}", ms(&predicted, "", &[phase])));
        let (all, total) = (published.iter().sum::<f64>(), predicted.total_us() / 1e3);
        text += &format!(
            "| {} ({}) | {} | {all:.1} / {total:.1} | {} |\n",
            network.name,
            network.batch,
            cells.collect::<Vec<_>>().join(" | "),
            percent(all, total)
        );
    }
    text
}

/// Programs and a card that no fit knows, with the program's own constants.
fn other_table() -> String {
    let mut text = String::from(
        "| program | network (batch) | GPU | what | published ms | predicted ms | error |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for figure in published::others().figure {
        let gpu = published::gpu(&figure.gpu);
        let plan = published::plan(&figure.model, figure.batch, false);
        let predicted = published::predict(&plan, &gpu, &Fractions::fitted(), Search::Exhaustive, &figure.phases);
        let what = match figure.phases.len() {
            1 => "forward",
            3 => "forward + backward",
            _ => "whole step",
        };
        let total = predicted.total_us() / 1e3;
        text += &format!(
            "| {} | {} ({}) | {} | {what} | {:.1} | {total:.1} | {} |\n",
            figure.program,
            figure.network,
            figure.batch,
            gpu.title,
            figure.ms,
            percent(figure.ms, total)
        );
    }
    text
}

/// Every fitted constant, and what each network by itself would make it.
fn constant_table(titan_x: &TitanX) -> String {
    let names: Vec<&str> = titan_x.network.iter().map(|network| network.name.as_str()).collect();
    let mut text = format!("| constant | fitted | {} |\n| --- | --- | --- | --- | --- |\n", names.join(" | "));
    let alone: Vec<_> = titan_x.network.iter().map(|network| constants(&fit(&[network]))).collect();
    for (index, (name, fitted)) in constants(&Fractions::fitted()).iter().enumerate() {
        if !["launch.us", "tile.side"].contains(&name.as_str()) {
            let alone: Vec<String> = alone.iter().map(|constants| format!("{:.2}", constants[index].1)).collect();
            text += &format!("| {name} | {fitted:.3} | {} |\n", alone.join(" | "));
        }
    }
    text
}

/// AlexNet layer by layer in Caffe.
fn layer_table(titan_x: &TitanX) -> String {
    let network = &titan_x.network[0];
    let predicted = network.in_caffe(&without(titan_x, network));
    let mut text =
        String::from("| layer | forward ms | error | backward ms | error |\n| --- | --- | --- | --- | --- |\n");
    for row in &network.caffe {
        let forward = ms(&predicted, &row.layer, &[Phase::Forward]);
        let backward = ms(&predicted, &row.layer, &[Phase::BackwardData, Phase::BackwardWeights]);
        text += &format!(
            "| {} | {:.2} / {forward:.2} | {} | {:.2} / {backward:.2} | {} |\n",
            row.layer,
            row.forward,
            percent(row.forward, forward),
            row.backward,
            percent(row.backward, backward)
        );
    }
    text
}

fn all_shares(titan_x: &TitanX) -> Vec<Shares> {
    titan_x.network.iter().map(|network| shares(network, &network.in_caffe(&without(titan_x, network)))).collect()
}

/// Guards against slips in copying: the shares as others have worked them out from the same logs.
#[test]
fn the_published_shares_are_those_of_the_logs() {
    let expected = [[80.9, 8.3, 6.6, 4.2], [89.7, 5.7, 2.5, 2.1], [83.0, 2.6, 8.2, 6.2]];
    for (row, expected) in all_shares(&published::titan_x()).iter().zip(expected) {
        for ((published, _), expected) in row.pairs.iter().zip(expected) {
            assert!((published - expected).abs() <= 0.051, "{}: {published:.2} is not {expected}", row.network);
        }
    }
    for network in published::titan_x().network {
        let sum: f64 = network.caffe_ms("").iter().sum();
        assert!((sum / network.caffe_total - 1.0).abs() < 0.003, "{}: {sum} of {}", network.name, network.caffe_total);
    }
}

/// Left out of the fit, each network's conv and fc shares come within [`BOUND`] points. Times have no bound: two programs on one
/// card differ by 1.6 times.
#[test]
fn shares_of_a_network_left_out_of_the_fit() {
    let rows = all_shares(&published::titan_x());
    println!("{}", share_table(&rows));
    for row in &rows {
        for (group, (published, predicted)) in ["conv", "fc"].iter().zip(row.pairs) {
            let error = predicted - published;
            assert!(error.abs() <= BOUND, "{} {group}: {error:+.1} points", row.network);
        }
    }
}

/// The written figures are those that come out.
#[test]
fn the_page_holds_these_tables() {
    let titan_x = published::titan_x();
    let shares = share_table(&all_shares(&titan_x));
    let tables = [constant_table(&titan_x), shares, torch_table(&titan_x), other_table(), layer_table(&titan_x)];
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prediction.md");
    let page = std::fs::read_to_string(file).unwrap();
    tables.iter().for_each(|table| println!("{table}"));
    for table in &tables {
        assert!(page.contains(table.as_str()), "docs/prediction.md lacks this table:\n{table}");
    }
}
