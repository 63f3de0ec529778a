//! The text that `inspect` prints: the layers of a network, before anything is measured.

use super::csv;
use super::lines::{By, TableLine, lines, shortened};
use super::rows::columns::optional;
use super::rows::{Column, Row};
use super::table::{Cells, Room, Table, numbers, words, wrapped};
use crate::model::kind::Group;
use crate::plan::{LayerPlan, Phase, Plan, image_name};
use crate::step::Step;
use crate::units::{grouped, short_count, size};

const F32_BYTES: u64 = 4;

/// One layer's static figures, for the whole batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerRow {
    /// The layer's name.
    pub layer: String,
    /// The layer's kind.
    pub kind: String,
    /// One image's output.
    pub output: String,
    /// Weights and biases.
    pub parameters: u64,
    /// Multiply-adds of forward.
    pub macs_forward: u64,
    /// Multiply-adds of backward_data.
    pub macs_backward_data: u64,
    /// Multiply-adds of backward_weights.
    pub macs_backward_weights: u64,
    /// The layer's own output in f32; flatten has none.
    pub activation_bytes: u64,
    /// Weights and biases in f32.
    pub weight_bytes: u64,
}

impl Row for LayerRow {
    const FILE: &'static str = "inspect --csv";

    #[rustfmt::skip]
    fn columns() -> Vec<Column<LayerRow>> {
        vec![
            optional("layer", "name", "the layer", "", |row| &mut row.layer),
            optional("kind", "word", "the layer's kind", "", |row| &mut row.kind),
            optional("output", "elements", "one image's output: channels x height x width, or a vector's length", "", |row| &mut row.output),
            optional("parameters", "number", "weights and biases", "", |row| &mut row.parameters),
            optional("macs_forward", "multiply-adds", "of forward, for the whole batch", "", |row| &mut row.macs_forward),
            optional("macs_backward_data", "multiply-adds", "of backward_data, for the whole batch", "", |row| &mut row.macs_backward_data),
            optional("macs_backward_weights", "multiply-adds", "of backward_weights, for the whole batch", "", |row| &mut row.macs_backward_weights),
            optional("activation_bytes", "bytes", "the layer's own output in f32, for the whole batch", "", |row| &mut row.activation_bytes),
            optional("weight_bytes", "bytes", "weights and biases in f32", "", |row| &mut row.weight_bytes),
        ]
    }

    fn blank() -> LayerRow {
        LayerRow::default()
    }
}

/// One row per layer.
pub fn rows(plan: &Plan) -> Vec<LayerRow> {
    plan.layers.iter().map(row).collect()
}

fn row(layer: &LayerPlan) -> LayerRow {
    let own_output = if layer.kind.is_view() { 0 } else { layer.output.elements() as u64 };
    LayerRow {
        layer: layer.name.clone(),
        kind: layer.kind.name().into(),
        output: layer.output.to_string(),
        parameters: layer.parameters(),
        macs_forward: layer.cost(Phase::Forward).macs,
        macs_backward_data: layer.cost(Phase::BackwardData).macs,
        macs_backward_weights: layer.cost(Phase::BackwardWeights).macs,
        activation_bytes: F32_BYTES * own_output,
        weight_bytes: F32_BYTES * layer.parameters(),
    }
}

/// The rows as CSV, without totals, so that columns can be summed.
pub fn csv(plan: &Plan) -> anyhow::Result<Vec<u8>> {
    let mut text = csv::header::<LayerRow>().into_bytes();
    text.extend(csv::lines::<LayerRow>(rows(plan))?);
    Ok(text)
}

/// The table, its totals, the shares of conv and fc, and the memory that training takes.
pub fn text(step: &Step, by: By, top: Option<usize>, room: Room) -> String {
    let plan = &step.plan;
    let rows = rows(plan);
    let mut header: Vec<_> = [by.name(), if by == By::Layer { "kind" } else { "" }, "output"].map(words).into();
    let (count, parameters, activations): (fn(u64) -> String, _, _) = match room {
        Room::Terminal | Room::Pipe => (short_count, "params", "activa-\ntions"),
        Room::Wide => (grouped, "parameters", "activations"),
    };
    header.extend([parameters, "MACs\nforward", "backward\ndata", "backward\nweights", activations].map(numbers));
    let cells = |row: &LayerRow| {
        let macs = [row.macs_forward, row.macs_backward_data, row.macs_backward_weights];
        let mut cells = vec![row.layer.clone(), row.kind.clone(), row.output.clone(), count(row.parameters)];
        cells.extend(macs.map(count));
        cells.push(size(row.activation_bytes));
        cells
    };
    let total = sum("total", "", &rows.iter().collect::<Vec<_>>());
    let lines = shown(&rows, by, top);
    let image = image_name(plan.image());
    let caption = format!(
        "{}, batch {}, image {image}: multiply-adds (MACs) and activations of the whole batch",
        plan.model.name, plan.batch
    );
    let layers = Table::new(caption, header, lines.iter().chain([&total]).map(cells));
    let shares = group_shares(plan, &rows, &total);
    let notes: String =
        plan.model.notes.iter().map(|note| format!("\n{}\n", wrapped(&format!("note: {note}"), room))).collect();
    format!("{}\n{}\n{}\n{notes}", layers.text(room), shares.text(room), wrapped(&memory(step), room))
}

/// The figures of several layers together. A block's output is that of its last layer.
fn sum(layer: &str, kind: &str, rows: &[&LayerRow]) -> LayerRow {
    let of = |of: fn(&LayerRow) -> u64| rows.iter().map(|row| of(row)).sum::<u64>();
    LayerRow {
        layer: layer.into(),
        kind: kind.into(),
        output: String::new(),
        parameters: of(|row| row.parameters),
        macs_forward: of(|row| row.macs_forward),
        macs_backward_data: of(|row| row.macs_backward_data),
        macs_backward_weights: of(|row| row.macs_backward_weights),
        activation_bytes: of(|row| row.activation_bytes),
        weight_bytes: of(|row| row.weight_bytes),
    }
}

/// The lines of the table. Those with the most multiply-adds stay, then those with the largest outputs.
fn shown(rows: &[LayerRow], by: By, top: Option<usize>) -> Vec<LayerRow> {
    let names: Vec<(&str, &str)> = rows.iter().map(|row| (row.layer.as_str(), row.kind.as_str())).collect();
    let of = |line: &TableLine| -> Vec<&LayerRow> { line.layers.iter().map(|&place| &rows[place]).collect() };
    let figure = |line: &TableLine| {
        let LayerRow { macs_forward, macs_backward_data, macs_backward_weights, activation_bytes, .. } =
            sum("", "", &of(line));
        // No output has as many bytes as this.
        const FIRST: f64 = 1e15;
        (macs_forward + macs_backward_data + macs_backward_weights) as f64 * FIRST + activation_bytes as f64
    };
    let all = lines(&names, by);
    let kept = shortened(all, top, figure);
    let row = |line: TableLine| {
        let layers = of(&line);
        let output = match layers.as_slice() {
            [.., last] if by == By::Block || layers.len() == 1 => last.output.clone(),
            _ => String::new(),
        };
        let rest = line.word.is_empty();
        LayerRow { output: if rest { String::new() } else { output }, ..sum(&line.title, &line.word, &layers) }
    };
    kept.into_iter().map(row).collect()
}

fn group_shares(plan: &Plan, rows: &[LayerRow], total: &LayerRow) -> Table {
    let columns: [fn(&LayerRow) -> u64; 4] =
        [|row| row.parameters, |row| row.macs_forward, |row| row.macs_backward_data, |row| row.macs_backward_weights];
    let titles = ["parameters %", "MACs\nforward %", "backward\ndata %", "backward\nweights %"];
    let header = [words("group")].into_iter().chain(titles.map(numbers)).collect();
    let line = |group: Group| {
        let share = |column: &fn(&LayerRow) -> u64| {
            let of_group: u64 = rows
                .iter()
                .zip(&plan.layers)
                .filter(|(_, layer)| layer.group() == group)
                .map(|(row, _)| column(row))
                .sum();
            let whole = column(total).max(1);
            format!("{:.1}", 100.0 * of_group as f64 / whole as f64)
        };
        [group.name().to_owned()].into_iter().chain(columns.iter().map(share)).collect()
    };
    let rows: Cells = Group::ALL.map(line).into();
    Table::new("", header, rows)
}

fn memory(step: &Step) -> String {
    let footprint = step.arena.footprint(&step.plan);
    format!(
        "Training takes {} in f32, scratch apart: parameters {}, their gradients {}, momentum {}, images {}, activations and \
         their gradients {} (their memory is used again within a step)",
        size(footprint.total()),
        size(footprint.parameters),
        size(footprint.gradients),
        size(footprint.momentum),
        size(footprint.input),
        size(footprint.activations),
    )
}

#[cfg(test)]
mod tests;
