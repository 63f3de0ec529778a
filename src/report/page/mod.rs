//! One page with charts, tables, settings and method. It holds everything itself and loads nothing, which its own security
//! policy enforces. A short script sorts tables and shows the layers of another batch; without it the page holds the same.

mod tables;

use anyhow::Result;

use super::plot::{self, Canvas, Chart, Scene};
use super::run::Run;
use super::run_tables::notes;
use super::table::escaped;
use super::verdict;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const METHOD: &str = include_str!("method.html");
const METHOD_OF_PREDICTIONS: &str = include_str!("predicted.html");

/// The whole page.
pub fn html(runs: &[Run], batch: Option<usize>) -> Result<String> {
    let title = title(runs);
    let mut body = format!("<h1>{}</h1>\n", escaped(&title));
    for (index, run) in runs.iter().enumerate() {
        body += &verdicts(run, runs.len() > 1, index);
    }
    let times = figure(&|canvas| plot::times(runs, canvas))?;
    let panels = plot::architectures(runs, batch);
    let networks = panels.iter().map(|panel| figure(&|canvas| panel.scene(canvas))).collect::<Result<String>>()?;
    for (index, run) in runs.iter().enumerate() {
        let name = if runs.len() > 1 { format!(": {}", run.run_id) } else { String::new() };
        body += &section(&format!("charts-{index}"), &format!("Charts{name}"), &charts(run, batch)?);
        body += &section(&format!("tables-{index}"), &format!("Tables{name}"), &tables::measured(run, batch));
        body += &section(&format!("settings-{index}"), &format!("Settings{name}"), &tables::settings(run));
    }
    let common =
        [("times", "Step time", "Step time and throughput", times), ("networks", "Networks", "Networks", networks)];
    let common: Vec<_> = common.into_iter().filter(|(.., charts)| !charts.is_empty()).collect();
    for (id, _, title, charts) in &common {
        body += &section(id, title, charts);
    }
    let measured = runs.iter().any(|run| !run.is_predicted()).then_some(METHOD);
    let predicted = runs.iter().any(Run::is_predicted).then_some(METHOD_OF_PREDICTIONS);
    body += &section("method", "Method", &measured.into_iter().chain(predicted).collect::<String>());
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">To the content</a>\n{}<main id=\"main\">\n{body}</main>\n\
         <footer><p>Made by layertime {}.</p></footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escaped(&title),
        contents(runs, common.iter().map(|&(id, word, ..)| (id, word))),
        env!("CARGO_PKG_VERSION"),
    ))
}

fn title(runs: &[Run]) -> String {
    match runs {
        [run] => format!("layertime: {}", run.heading()),
        several => format!("layertime: {} runs", several.len()),
    }
}

fn contents<'a>(runs: &[Run], common: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut items: Vec<(String, String)> = Vec::new();
    for index in 0..runs.len() {
        let of_run = if runs.len() > 1 { format!(" of run {}", index + 1) } else { String::new() };
        for (id, word) in [("charts", "Charts"), ("tables", "Tables"), ("settings", "Settings")] {
            items.push((format!("{id}-{index}"), format!("{word}{of_run}")));
        }
    }
    items.extend(common.map(|(id, word)| (id.into(), word.into())));
    items.push(("method".into(), "Method".into()));
    let items: String = items.iter().map(|(id, word)| format!("<li><a href=\"#{id}\">{word}</a></li>\n")).collect();
    format!("<nav aria-label=\"Contents\"><ul>\n{items}</ul></nav>\n")
}

fn section(id: &str, title: &str, content: &str) -> String {
    format!("<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n{content}</section>\n", escaped(title))
}

fn verdicts(run: &Run, several: bool, index: usize) -> String {
    let name = if several { format!("Run {}, {}: ", index + 1, run.run_id) } else { String::new() };
    let mut text: String = verdict::sentences(run)
        .iter()
        .map(|sentence| format!("<p class=\"verdict\">{}{}</p>\n", escaped(&name), escaped(sentence)))
        .collect();
    for note in notes(run) {
        text += &format!("<p class=\"note\">Note: {}</p>\n", prose(&note));
    }
    text
}

/// A text in which `words` between backticks are code.
fn prose(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escaped).collect();
    // A single backtick quotes nothing.
    if parts.len().is_multiple_of(2) {
        return parts.join("`");
    }
    let part =
        |(index, part): (usize, &String)| if index % 2 == 1 { format!("<code>{part}</code>") } else { part.clone() };
    parts.iter().enumerate().map(part).collect()
}

fn charts(run: &Run, batch: Option<usize>) -> Result<String> {
    let mut text = String::new();
    for image in run.images() {
        if run.images().len() > 1 {
            text += &format!("<h3>Image {}</h3>\n", escaped(&image));
        }
        for chart in Chart::ALL {
            text += &figure(&|canvas| chart.scene(run, &image, batch, canvas))?;
        }
    }
    Ok(text)
}

/// A chart for wide and one for narrow screens, of which one is shown; the words below are for everyone.
fn figure(scene: &dyn Fn(Canvas) -> Option<Scene>) -> Result<String> {
    let (Some(wide), Some(narrow)) = (scene(Canvas::WIDE), scene(Canvas::NARROW)) else { return Ok(String::new()) };
    Ok(format!(
        "<figure>\n{}{}<figcaption><details><summary>{} in words</summary>{}</details></figcaption>\n</figure>\n",
        plot::inline_svg(&wide, "wide")?,
        plot::inline_svg(&narrow, "narrow")?,
        escaped(&wide.title),
        escaped(&wide.description),
    ))
}

#[cfg(test)]
mod tests;
