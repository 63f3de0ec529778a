//! Ranks that were started differently are refused before they measure anything.

use super::{RankError, Ranks};

/// The facts that must be equal on all ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    /// The program's version and commit.
    pub version: String,
    /// The text of the model's description.
    pub model: String,
    /// The command line, without the program's name.
    pub options: Vec<String>,
}

/// Refuses, on all ranks and in the same words, when one was not started as rank 0 was.
pub fn check(ranks: &Ranks, own: &Facts) -> Result<(), RankError> {
    let mut first = None;
    let mut different = Vec::new();
    for rank in 0..ranks.size() {
        let mut bytes = serde_json::to_vec(own).unwrap_or_default();
        ranks.broadcast(rank, &mut bytes)?;
        let told: Facts = serde_json::from_slice(&bytes).unwrap_or_default();
        match &first {
            None => first = Some(told),
            Some(first) => different.extend(told.unlike(first).map(|unlike| format!("rank {rank} {unlike}"))),
        }
    }
    match different.is_empty() {
        true => Ok(()),
        false => Err(RankError(format!("{}: start all ranks alike", different.join("; ")))),
    }
}

impl Facts {
    fn unlike(&self, first: &Facts) -> Option<String> {
        if self.version != first.version {
            return Some(format!("is {}, rank 0 {}", self.version, first.version));
        }
        if self.options != first.options {
            let [ours, theirs] = [self, first].map(|facts| facts.options.join(" "));
            return Some(format!("has the options `{ours}`, rank 0 `{theirs}`"));
        }
        (self.model != first.model).then(|| "has another description of the model than rank 0".into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::threads;
    use super::*;

    /// Runs the check on three ranks, the second of which has these facts.
    fn checked(second: &Facts) -> Vec<Result<(), RankError>> {
        let facts = [&facts(), second, &facts()];
        std::thread::scope(|scope| {
            let check = |ranks: Ranks| check(&ranks, facts[ranks.rank()]);
            let threads: Vec<_> =
                threads::ranks(3).into_iter().map(|ranks| scope.spawn(move || check(ranks))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn facts() -> Facts {
        Facts {
            version: "layertime 1.0".into(),
            model: "name = \"m\"".into(),
            options: vec!["run".into(), "--batch=1".into()],
        }
    }

    #[test]
    fn ranks_that_differ_are_refused_in_the_same_words() {
        assert_eq!(checked(&facts()), [Ok(()), Ok(()), Ok(())]);
        let refused = |second: Facts, words: &str| {
            let words = RankError(format!("rank 1 {words}: start all ranks alike"));
            assert_eq!(checked(&second), [Err(words.clone()), Err(words.clone()), Err(words)]);
        };
        refused(Facts { version: "layertime 1.1".into(), ..facts() }, "is layertime 1.1, rank 0 layertime 1.0");
        refused(Facts { model: "name = \"n\"".into(), ..facts() }, "has another description of the model than rank 0");
        let options = vec!["run".into(), "--batch=2".into()];
        refused(Facts { options, ..facts() }, "has the options `run --batch=2`, rank 0 `run --batch=1`");
    }
}
