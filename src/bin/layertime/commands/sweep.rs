//! The batch and image sizes that `run` and `predict` go through.

use crate::cli::ImageSize;
use layertime::model::Model;
use layertime::plan::{Options, Plan, PlanError};

/// Everything is planned before anything is done, so that a mistake shows at once. Images in the order given (none stands for
/// the model's own), batches rising; `options` has the rest.
pub fn plans(model: &Model, batches: &[usize], images: &[ImageSize], options: Options) -> Result<Vec<Plan>, PlanError> {
    let mut batches = batches.to_vec();
    batches.sort_unstable();
    batches.dedup();
    let images = match images {
        [] => vec![None],
        sizes => sizes.iter().map(|size| Some(size.0)).collect(),
    };
    let points = images.into_iter().flat_map(|image| batches.iter().map(move |&batch| (batch, image)));
    let plan = |(batch, image)| Plan::new(model, Options { batch, image, ..options });
    points.map(plan).collect()
}
