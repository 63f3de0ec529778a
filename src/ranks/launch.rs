//! Ranks that a launcher started as processes: `mpirun`, `srun`, `torchrun`.

use super::{RankError, Ranks};

/// A launcher's word on this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The launcher, by the environment that it sets.
    pub launcher: &'static str,
    /// This process's rank.
    pub rank: usize,
    /// Processes that it started.
    pub ranks: usize,
}

/// Launchers and the variables in which they tell the number of ranks and the own one: Open MPI's FAQ, "Running MPI jobs"; MPICH's Hydra;
/// srun(1); PyTorch's torchrun.
const LAUNCHERS: [(&str, &str, &str); 4] = [
    ("Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("PMI", "PMI_SIZE", "PMI_RANK"),
    ("Slurm", "SLURM_NTASKS", "SLURM_PROCID"),
    ("torchrun", "WORLD_SIZE", "RANK"),
];

impl Launched {
    /// From this process's environment.
    fn here() -> Option<Launched> {
        Launched::from_environment(|name| std::env::var(name).ok())
    }

    /// From an environment; `None` where no launcher started this process.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Option<Launched> {
        let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
        // A job's own script has the numbers of a task too, but belongs to no step (srun(1), sbatch(1)).
        let is_script = variable("SLURM_JOB_ID").is_some() && variable("SLURM_STEP_ID").is_none();
        let launchers = LAUNCHERS.into_iter().filter(|(launcher, ..)| !(is_script && *launcher == "Slurm"));
        launchers.into_iter().find_map(|(launcher, ranks, rank)| {
            let (ranks, rank) = (number(ranks)?, number(rank)?);
            (rank < ranks).then_some(Launched { launcher, rank, ranks })
        })
    }
}

/// Tells if a launcher started this process as another rank than the first, which speaks for all.
pub fn is_silent() -> bool {
    Launched::here().is_some_and(|launched| launched.rank > 0)
}

/// The other ranks of this process, where a launcher started more than one.
pub fn join() -> Result<Option<Ranks>, RankError> {
    match Launched::here() {
        Some(launched) if launched.ranks > 1 => meet(launched).map(Some),
        _ => Ok(None),
    }
}

#[cfg(feature = "mpi")]
fn meet(Launched { launcher, ranks, .. }: Launched) -> Result<Ranks, RankError> {
    let met = super::mpi::join()?;
    if met.size() == ranks {
        return Ok(met);
    }
    let known = met.size();
    Err(RankError(format!(
        "{launcher} started {ranks} ranks, but MPI knows {known}: start them with mpirun -n {ranks}"
    )))
}

#[cfg(not(feature = "mpi"))]
fn meet(Launched { launcher, ranks, .. }: Launched) -> Result<Ranks, RankError> {
    Err(RankError(format!(
        "{launcher} started {ranks} ranks, and this layertime knows one: build it with cargo build --release --features mpi"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched(variables: &[(&str, &str)]) -> Option<Launched> {
        let find = |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
        Launched::from_environment(find)
    }

    #[test]
    fn each_launcher_is_known_by_its_variables() {
        for (launcher, ranks, rank) in LAUNCHERS {
            let found = launched(&[(ranks, "4"), (rank, "2")]);
            assert_eq!(found, Some(Launched { launcher, rank: 2, ranks: 4 }));
            assert_eq!(launched(&[(ranks, "4")]), None);
            for nonsense in ["", "-1", "four", "4"] {
                assert_eq!(launched(&[(ranks, "4"), (rank, nonsense)]), None, "{rank}={nonsense}");
            }
        }
        assert_eq!(launched(&[]), None);
    }

    /// As sbatch sets them for a script with --ntasks=4, and srun for its tasks.
    #[test]
    fn a_script_of_slurm_is_no_task() {
        let script = [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "4"), ("SLURM_PROCID", "0")];
        assert_eq!(launched(&script), None);
        let task = [&script[..], &[("SLURM_STEP_ID", "0")]].concat();
        assert_eq!(launched(&task).map(|launched| launched.ranks), Some(4));
    }
}
