//! The page's tables: what the terminal shows, and the settings.

use serde_json::Value;

use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::summary::Scope;
use crate::report::lines::{By, limit};
use crate::report::page::prose;
use crate::report::rows::LabelColumns;
use crate::report::run::{Point, Run};
use crate::report::run_file::{RunFile, as_written};
use crate::report::run_tables::{layers, number, share_with_interval, step_ms, step_us};
use crate::report::table::{Table, escaped, numbers, words};

/// The short words in the head of the table by phase.
const SHORT: &str = "data: backward_data, weights: backward_weights, update: weight_update";

/// Settings that a prediction has none of.
const OF_A_MEASUREMENT: [&str; 3] = ["machine.cpu.threads", "setup.threads", "setup.samples"];

/// The sweep, and the layers of one batch, by image size.
pub fn measured(run: &Run, batch: Option<usize>) -> String {
    let mut text = String::new();
    for image in run.images() {
        let points = run.at(&image);
        text += &sweep(run, &image, &points).html();
        text += &by_phase(&image, &points).html();
        let chosen = batch.or(run.largest(&image).map(|point| point.batch));
        text += &layers_by_batch(run, &image, chosen);
    }
    text
}

/// The layers of every batch, of which one is shown, and a chooser for the script to show.
fn layers_by_batch(run: &Run, image: &str, chosen: Option<usize>) -> String {
    let points = run.measured(image);
    let option = |point: &&Point| {
        let selected = if Some(point.batch) == chosen { " selected" } else { "" };
        format!("<option value=\"{0}\"{selected}>{0}</option>", point.batch)
    };
    let table = |point: &&Point| {
        let hidden = if Some(point.batch) == chosen { "" } else { " hidden" };
        let (batch, image) = (point.batch, escaped(image));
        let html = layers_of(run, point);
        format!("<div class=\"layers\" data-image=\"{image}\" data-batch=\"{batch}\"{hidden}>\n{html}</div>\n")
    };
    let options: String = points.iter().map(option).collect();
    format!(
        "<p class=\"chooser\" data-image=\"{}\" hidden><label>Layers at batch <select>{options}</select></label></p>\n{}",
        escaped(image),
        points.iter().map(table).collect::<String>()
    )
}

fn sweep(run: &Run, image: &str, points: &[&Point]) -> Table {
    let ms = if run.is_predicted() { "ms" } else { "mean ms" };
    // Nothing was timed twice in a prediction.
    let closure = (!run.is_predicted()).then_some("closure");
    let titles = ["batch", ms, "conv %", "fc %", "other %"].into_iter().chain(closure).chain(["images/s"]);
    let header = titles.map(numbers).chain([words("status")]).collect();
    let row = |point: &&Point| {
        let mut cells = vec![point.batch.to_string(), step_ms(step_us(point))];
        cells.extend(Group::ALL.map(|group| share_with_interval(point.group(group))));
        cells.extend(closure.map(|_| number(point.step.closure, 3)));
        cells.push(number(point.images_per_s(), 1));
        cells.push(run.status_word(point).name().into());
        cells
    };
    let figures = if run.is_predicted() {
        "predicted ms, share of the step"
    } else {
        "mean ms, share of the step with 95 % interval"
    };
    Table::new(format!("The step by batch size, image {image}: {figures}"), header, points.iter().map(row))
}

fn by_phase(image: &str, points: &[&Point]) -> Table {
    let exists = |scope: &Scope| scope.phase.is_some() && points.iter().any(|point| point.total(*scope).is_some());
    let scopes: Vec<Scope> = Scope::every().filter(exists).collect();
    let title = |scope: &Scope| {
        let (group, phase) = (scope.group.map_or("all", Group::name), scope.phase.map_or("", Phase::name));
        // All of them fit in a window of 1280 pixels, with the widest network's phases.
        numbers(format!(
            "{group} {}",
            phase.trim_start_matches("backward_").trim_start_matches("weight_").replace('_', " ")
        ))
    };
    let header = [numbers("batch")].into_iter().chain(scopes.iter().map(title)).collect();
    let row = |point: &&Point| {
        let share = |&scope: &Scope| number(point.total(scope).map(|figures| figures.share_pct), 1);
        [point.batch.to_string()].into_iter().chain(scopes.iter().map(share)).collect()
    };
    let measured = points.iter().filter(|point| point.is_measured());
    Table::new(
        format!("By group and phase, image {image}: share of the step in % ({SHORT})"),
        header,
        measured.map(row),
    )
}

/// The table of layers; of many, one of their blocks, and behind a click that of all layers.
fn layers_of(run: &Run, point: &Point) -> String {
    let ms = if run.is_predicted() { "predicted ms" } else { "mean ms" };
    let table = |by: By, top: Option<usize>| {
        let words = if by == By::Layer { "Layers" } else { "Blocks of layers" };
        let caption = format!("{words} at batch {}, image {}: {ms}{}", point.batch, point.image, point.stretch());
        let mut table = layers(&caption, point, by, top);
        let share = table.header.iter_mut().filter(|heading| heading.title == "%");
        share.for_each(|heading| heading.title += " of the step");
        table.html()
    };
    let (count, all) = (point.layers().count(), table(By::Layer, Some(usize::MAX)));
    if limit(count, None) == count {
        return all;
    }
    format!("{}<details><summary>All {count} layers</summary>\n{all}</details>\n", table(By::Block, None))
}

/// Everything in run.json but the batches and the model's text.
pub fn settings(run: &Run) -> String {
    let LabelColumns { run_id, model, device, precision, layout, launch } = run.labels();
    let mut rows = vec![("run".to_owned(), run_id)];
    match RunFile::of(run).map(|file| as_written(&file)) {
        None => {
            let known = [
                ("model", model),
                ("device", device),
                ("precision", precision),
                ("layout", layout),
                ("launch", launch),
                ("more", "there was no run.json".into()),
            ];
            rows.extend(known.map(|(name, value)| (name.into(), value)));
        }
        Some(json) => leaves("", &json, &mut rows),
    }
    // Nothing computed, so their zeros and blanks mean nothing.
    let means_nothing = |name: &str| run.is_predicted() && OF_A_MEASUREMENT.contains(&name);
    rows.retain(|(name, value)| !(value.is_empty() || means_nothing(name)));
    let row = |(name, value): &(String, String)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(name), folded(value))
    };
    let rows: String = rows.iter().map(row).collect();
    format!("<table class=\"settings\"><caption>As recorded by the run</caption>\n<tbody>\n{rows}</tbody></table>\n")
}

fn leaves(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match (name, value) {
        ("run_id" | "points" | "crossovers" | "answers" | "setup.model_file", _) | (_, Value::Null) => {}
        ("argv", Value::Array(words)) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            rows.push(("command line".into(), words.join(" ")));
        }
        (_, Value::Object(fields)) => {
            let path = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
            fields.iter().for_each(|(key, value)| leaves(&path(key), value, rows));
        }
        (_, Value::Array(items)) => items.iter().for_each(|item| leaves(&format!("{name} "), item, rows)),
        (_, Value::String(text)) => rows.push((name.into(), text.clone())),
        (_, Value::Bool(_) | Value::Number(_)) => rows.push((name.into(), value.to_string())),
    }
}

/// A value, behind a click where it would fill the page: the constants of a prediction.
fn folded(value: &str) -> String {
    const LONG: usize = 300;
    match value.chars().count() {
        count if count > LONG => format!("<details><summary>{count} characters</summary>{}</details>", prose(value)),
        _ => prose(value),
    }
}
