//! The cost of marks: where they stretch a step, the groups' shares come from steps with few marks, and reports say so.

use super::rows::GroupedColumns;
use super::run::{Point, interval};
use crate::profile::summary::{Scope, is_closed};

impl Point {
    /// Takes the groups' shares from steps with few marks, where all marks stretch a step. Called once, when all rows are there.
    pub(super) fn settle_shares(&mut self) {
        if !self.is_stretched() {
            self.grouped.clear();
        }
        for (group, GroupedColumns { share, .. }) in &self.grouped {
            let scope = Scope { group: *group, phase: None };
            let total = self.totals.iter_mut().find(|total| total.scope == scope && group.is_some());
            if let (Some(total), Some(share_pct)) = (total, share.share_pct) {
                total.figures.share_pct = share_pct;
                total.figures.share_ci95 = interval(share.share_ci95_low_pct, share.share_ci95_high_pct);
            }
        }
    }

    /// Tells if a step with all its marks is not about as long as a plain one.
    pub fn is_stretched(&self) -> bool {
        self.step.closure.is_some_and(|closure| !is_closed(closure))
    }

    /// Tells if the groups' shares are from steps with few marks; how such a step compares with a plain one.
    pub fn grouped_closure(&self) -> Option<f64> {
        self.grouped.iter().find_map(|(group, columns)| columns.closure.filter(|_| group.is_none()))
    }

    /// Says by how much a step with marks differs from a plain one, where that is more than 3 %.
    pub fn closure_note(&self) -> Option<String> {
        let closure = self.step.closure.filter(|_| self.is_stretched())?;
        let percent = 100.0 * (closure - 1.0).abs();
        let (differs, so) = match closure {
            1.0.. => ("longer", "short phases weigh too much"),
            _ => ("less", "the machine was not steady"),
        };
        let grouped = self.grouped_closure().map_or(String::new(), |grouped| {
            format!("; the shares of conv, fc and other are from steps marked between these alone, {grouped:.2} of a plain one")
        });
        Some(format!(
            "closure is {closure:.2}: a step with marks takes {percent:.0} % {differs} than a plain one, so {so}{grouped}"
        ))
    }

    /// Says of a table of phases and layers how far marks stretch their sum; nothing where they do not.
    pub fn stretch(&self) -> String {
        match self.step.closure.filter(|_| self.is_stretched()) {
            Some(closure) => format!("; with marks, their sum is {closure:.2} of a plain step"),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::kind::Group;
    use crate::profile::Measured;
    use crate::report::fixture;
    use crate::report::lines::By;
    use crate::report::page;
    use crate::report::read;
    use crate::report::run_tables::{Selection, text};
    use crate::report::table::Room;
    use crate::report::verdict::{answers, sentences};
    use crate::step::GroupedSample;

    /// Timed steps take 50 µs beside plain ones of 50 and 40: closure 1.125. Grouped ones take 20 + 15 + 5 of 40.
    fn stretched(grouped: usize) -> Measured {
        let sample = GroupedSample { groups_us: [20.0, 15.0, 5.0], plain_us: 32.0 };
        Measured { grouped: vec![sample; grouped], ..fixture::measured(2) }
    }

    #[test]
    fn shares_come_from_grouped_steps_and_that_is_said() {
        let (_out, folder) = fixture::folder(fixture::run(false), [stretched(6)]);
        let stored = read::open(folder.path()).unwrap();
        let note = "the shares of conv, fc and other are from steps marked between these alone, 1.25 of a plain one";
        for run in [folder.run(), &stored.runs[0]] {
            let point = &run.points[0];
            assert_eq!(Group::ALL.map(|group| point.share(group)), [50.0, 37.5, 12.5]);
            assert_eq!(point.group(Group::Fc).unwrap().share_ci95.map(|ends| [ends.low, ends.high]), Some([37.5; 2]));
            assert_eq!(point.grouped_closure(), Some(1.25));
            // The layers and phases keep their own.
            let layers: f64 =
                point.parts.iter().filter(|part| part.group == Group::Fc).map(|part| part.figures.share_pct).sum();
            assert!((layers - 36.0).abs() < 1e-9, "{layers}");
            assert_eq!(answers(run)[0].share_pct, 50.0);
            let printed = text(run, Selection { batch: None, by: By::Layer, top: None, room: Room::Wide });
            assert!(
                printed.contains(
                    "Layers at batch 2: mean ms, and % of the step; with marks, their sum is 1.12 of a plain step"
                ),
                "{printed}"
            );
            assert!(printed.contains("; at batch 2 of a step stretched by marks"), "{printed}");
            assert!(printed.contains(note) && sentences(run)[0].contains(note), "{printed}");
            assert!(sentences(run)[0].contains("conv takes 50.0 %") && sentences(run)[0].contains("fc 37.5 %"));
        }
        let page = page::html(&stored.runs, None).unwrap();
        assert!(page.contains(note) && page.contains("with marks, their sum is 1.12 of a plain step"), "{page}");
    }

    /// Few grouped steps say nothing, and none are needed where a step closes.
    #[test]
    fn otherwise_shares_are_the_timed_steps_own() {
        let closed = Measured { plain_us: vec![50.0, 50.0], ..stretched(6) };
        for measured in [stretched(5), closed] {
            let (_out, folder) = fixture::folder(fixture::run(false), [measured]);
            let point = &folder.run().points[0];
            assert_eq!((point.share(Group::Fc), point.grouped_closure()), (36.0, None));
        }
    }
}
