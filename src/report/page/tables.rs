//! The page's tables: what the terminal shows, and the settings.

use serde_json::Value;

use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::report::plot::escaped;
use crate::report::read::{Figures, LayerPart, Point, Run};
use crate::report::table::step_ms;

/// The sweep, and the layers of one batch, by image size.
pub fn measured(run: &Run, batch: Option<usize>) -> String {
    let mut text = String::new();
    for image in run.images() {
        let points: Vec<&Point> = run.points.iter().filter(|point| point.image == image).collect();
        text += &sweep(&image, &points);
        text += &by_phase(&image, &points);
        let chosen = batch
            .map_or(run.largest(&image), |batch| run.measured(&image).into_iter().find(|point| point.batch == batch));
        text += &chosen.map_or(String::new(), layers);
    }
    text
}

fn sweep(image: &str, points: &[&Point]) -> String {
    let header = ["batch", "step ms", "conv %", "fc %", "other %", "closure", "images/s", "status"];
    let row = |point: &&Point| {
        let mut cells = vec![point.batch.to_string(), step_ms(point.total(Scope::STEP).map(|step| step.mean_us))];
        cells.extend(Group::ALL.map(|group| share(point.total(Scope { group: Some(group), phase: None }))));
        cells.extend([number(point.step.closure, 3), number(point.step.images_per_s, 1), point.status.name().into()]);
        cells
    };
    let predicted = points.iter().any(|point| point.status == Status::Predicted);
    let figures = if predicted { "ms, share of the step" } else { "mean ms, share of the step with 95 % interval" };
    table(&format!("The step by batch size, image {image}: {figures}"), &header, points.iter().map(row))
}

fn by_phase(image: &str, points: &[&Point]) -> String {
    let exists = |scope: &Scope| scope.phase.is_some() && points.iter().any(|point| point.total(*scope).is_some());
    let scopes: Vec<Scope> = Scope::every().filter(exists).collect();
    let titles: Vec<String> = scopes
        .iter()
        .map(|scope| {
            format!("{} {}", scope.group.map_or("all", Group::name), scope.phase.map_or("", Phase::name))
                .replace('_', " ")
        })
        .collect();
    let header: Vec<&str> = ["batch"].into_iter().chain(titles.iter().map(String::as_str)).collect();
    let row = |point: &&Point| {
        let share = |&scope: &Scope| number(point.total(scope).map(|figures| figures.share_pct), 1);
        [point.batch.to_string()].into_iter().chain(scopes.iter().map(share)).collect()
    };
    let measured = points.iter().filter(|point| point.is_measured());
    table(&format!("By group and phase, image {image}: share of the step in %"), &header, measured.map(row))
}

fn layers(point: &Point) -> String {
    let exists = |phase: &Phase| *phase != Phase::LossScale || point.parts.iter().any(|part| part.phase == *phase);
    let phases: Vec<Phase> = Phase::ALL.into_iter().filter(exists).collect();
    let titles: Vec<String> = phases.iter().map(|phase| phase.name().replace('_', " ")).collect();
    let mut header = vec!["layer", "kind"];
    header.extend(titles.iter().map(String::as_str));
    header.extend(["total", "% of the step"]);
    let row = |layer: &[LayerPart]| {
        let ms = |phase| layer.iter().find(|part| part.phase == phase).map(|part| part.figures.mean_us / 1e3);
        let sum = |figure: fn(&Figures) -> f64| layer.iter().map(|part| figure(&part.figures)).sum::<f64>();
        let mut cells = vec![layer[0].layer.to_string(), layer[0].kind.to_string()];
        cells.extend(phases.iter().map(|&phase| number(ms(phase), 3)));
        cells.extend([
            number(Some(sum(|figures| figures.mean_us) / 1e3), 3),
            number(Some(sum(|figures| figures.share_pct)), 1),
        ]);
        cells
    };
    let title = format!("Layers at batch {}, image {}: mean ms", point.batch, point.image);
    table(&title, &header, point.parts.chunk_by(|one, next| one.index == next.index).map(row))
}

/// Everything in run.json but the batches and the model's text.
pub fn settings(run: &Run) -> String {
    let labels = &run.labels;
    let mut rows = vec![("run".to_owned(), labels.run_id.clone())];
    match run.run.as_ref().and_then(|json| serde_json::to_value(json).ok()) {
        None => {
            let known = [
                ("model", &labels.model),
                ("device", &labels.device),
                ("precision", &labels.precision),
                ("layout", &labels.layout),
                ("launch", &labels.launch),
            ];
            rows.extend(known.map(|(name, value)| (name.into(), value.clone())));
            rows.push(("more".into(), "there was no run.json".into()));
        }
        Some(json) => leaves("", &json, &mut rows),
    }
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(name), escaped(value)))
        .collect();
    format!("<table class=\"settings\"><caption>As recorded by the run</caption>\n<tbody>\n{rows}</tbody></table>\n")
}

fn leaves(name: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match (name, value) {
        ("run_id" | "points" | "crossovers" | "setup.model_file", _) | (_, Value::Null) => {}
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

/// Scrolls by itself where it is too wide, with the keyboard too.
fn table(caption: &str, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let caption = escaped(caption);
    let head: String = header
        .iter()
        .map(|title| {
            let class = if matches!(*title, "kind" | "status") { " class=\"word\"" } else { "" };
            format!("<th scope=\"col\"{class}>{}</th>", escaped(title))
        })
        .collect();
    let row = |cells: Vec<String>| {
        let cell = |(index, cell): (usize, &String)| match index {
            0 => format!("<th scope=\"row\">{}</th>", escaped(cell)),
            _ if cell.starts_with(|c: char| c.is_ascii_lowercase()) => {
                format!("<td class=\"word\">{}</td>", escaped(cell))
            }
            _ => format!("<td>{}</td>", escaped(cell)),
        };
        format!("<tr>{}</tr>\n", cells.iter().enumerate().map(cell).collect::<String>())
    };
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n<table><caption><span>{caption}</span></caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{}</tbody></table>\n</div>\n",
        rows.map(row).collect::<String>()
    )
}

fn share(figures: Option<&Figures>) -> String {
    let interval = figures.and_then(|figures| figures.share_ci95);
    let interval = interval.map_or(String::new(), |ends| format!(" ({:.1}–{:.1})", ends.low, ends.high));
    number(figures.map(|figures| figures.share_pct), 1) + &interval
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.decimals$}"))
}
