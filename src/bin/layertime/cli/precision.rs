//! One precision of two options.

use layertime::plan::Precision;

use super::PredictArgs;

impl PredictArgs {
    /// Makes one precision of the two.
    pub fn settle_precision(&mut self) -> Result<(), String> {
        settle(&mut self.precision, &mut self.fc_precision)
    }
}

/// Makes one precision of that of convolutions and that of fully connected layers, where it is given.
pub fn settle(precision: &mut Precision, products: &mut Option<Precision>) -> Result<(), String> {
    let Some(products) = products.take() else { return Ok(()) };
    let refused = || format!("--fc-precision {products} goes with f32 and tf32, not with --precision {precision}");
    *precision = precision.with_products(products).ok_or_else(refused)?;
    Ok(())
}
