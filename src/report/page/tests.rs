use super::*;
use crate::report::header::RunState;
use crate::report::run::Origin;
use crate::report::{fixture, read};

fn page() -> String {
    let mut run = fixture::run(false);
    run.model = "a & b".into();
    if let Origin::Measured { device, .. } = &mut run.origin {
        *device = "<script src=\"http://example.org/x.js\"></script>".into();
    }
    let measured = [1, 2, 4].map(fixture::measured).into_iter().chain([fixture::out_of_memory(64)]);
    let (_out, mut folder) = fixture::folder(run, measured);
    folder.finish(RunState::Complete).unwrap();
    html(&read::open(folder.path()).unwrap().runs, None).unwrap()
}

/// Everything that makes a browser fetch: attributes and CSS that name a resource, elements that are one.
#[test]
fn loads_nothing() {
    let page = page();
    for bad in [
        "src=",
        "url(",
        "@import",
        "<link",
        "<script ",
        "<img",
        "fetch(",
        "import(",
        "XMLHttpRequest",
        "eval(",
        "<iframe",
        "<object",
        "<embed",
        "<base",
        "xlink",
        "srcset=",
    ] {
        // Text that came from the run is escaped, quotes and all.
        let text = page.replace("src=&quot;", "");
        assert!(!text.contains(bad), "{bad}");
    }
    let links: Vec<&str> = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.len() > 5 && links.iter().all(|link| link.starts_with('#')), "{links:?}");
    for link in links {
        assert!(page.contains(&format!("id=\"{}\"", &link[1..])), "{link} leads nowhere");
    }
    // The page's own script, which loads nothing.
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("default-src 'none'") && !page.contains("w3.org"));
}

#[test]
fn can_be_read_without_seeing() {
    let page = page();
    assert!(page.starts_with("<!DOCTYPE html>\n<html lang=\"en\">") && page.contains("name=\"viewport\""));
    assert!(page.contains("<title>layertime: a &amp; b on &lt;script"), "names are escaped");
    assert_eq!(page.matches("<h1>").count(), 1);
    let charts = page.matches("<svg ").count();
    // Five charts, each for wide and narrow screens.
    assert_eq!(
        (charts, page.matches("role=\"img\"").count(), page.matches("aria-label=\"Share of").count()),
        (10, 10, 4)
    );
    assert_eq!(page.matches("<table>").count(), page.matches("tabindex=\"0\"").count());
    assert!(page.contains("conv 50.0 %") && page.contains("out_of_memory"));
    for open in ["section", "figure", "table", "tr", "svg", "details", "div"] {
        let (opened, closed) = (page.matches(&format!("<{open}")).count(), page.matches(&format!("</{open}>")).count());
        let shadowed = if open == "tr" { 0 } else { page.matches(&format!("<{open}-")).count() };
        assert_eq!(opened - shadowed, closed, "{open}");
    }
}

/// Constants as they were typed, code as code.
#[test]
fn settings_are_as_typed() {
    let page = page();
    assert!(page.contains("<td>0.01</td>") && !page.contains("0.00999"), "{page}");
    assert_eq!(prose("`a` & `b`"), "<code>a</code> &amp; <code>b</code>");
    assert_eq!(prose("it's ` alone"), "it's ` alone");
}

/// A page of predictions says nothing of samples or warm-up.
#[test]
fn predictions_are_called_so() {
    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/predicted");
    let page = html(&read::open(std::path::Path::new(kept)).unwrap().runs, None).unwrap();
    assert!(page.contains("Predicted figures were computed") && page.contains("predicted ms, share of the step"));
    for word in ["mean ms", "Warm-up", "Student", "`"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("<code>ceilings</code>") && page.contains("errors on GPUs that the fit had not seen"));
    for empty in ["closure</th>", "setup.threads", "machine.cpu", "setup.launch", "<td></td>"] {
        assert!(!page.contains(empty), "{empty}");
    }
}

/// Some 170 layers in 22 blocks.
#[test]
fn a_deep_network_shows_its_blocks_first() {
    let page = html(&[fixture::built_in("resnet50", &[1])], None).unwrap();
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}"));
    let (blocks, all) = (place("Blocks of layers at batch 1"), place("<details><summary>All 1"));
    assert!(blocks < place("layer1.0</") && place("layer1.0</") < all && all < place("layer1.0.conv1</"));
}

/// Two networks are compared on the page; one is not.
#[test]
fn networks_are_compared_on_the_page() {
    let runs = ["nin", "squeezenet1_1"].map(|name| fixture::built_in(name, &[1]));
    let compares = |runs: &[Run]| html(runs, None).unwrap().contains(">Networks</h2>");
    assert!(compares(&runs) && !compares(&runs[..1]));
}
