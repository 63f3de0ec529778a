//! The stream that work is given to, with the library handles whose work goes through it.

use super::blas::Blas;
use super::call::CallError;
use super::dnn::Dnn;
use super::stream::Stream;

/// A stream and its handles, used by one session at a time. The handles go before their stream.
pub struct Handles {
    /// cuDNN's.
    pub dnn: Dnn,
    /// cuBLAS's.
    pub blas: Blas,
    /// The stream that both work on.
    pub stream: Stream,
}

impl Handles {
    /// A new stream with new handles. The context must be current.
    pub fn new() -> Result<Handles, CallError> {
        let stream = Stream::new()?;
        Ok(Handles { dnn: Dnn::new(&stream)?, blas: Blas::new(&stream)?, stream })
    }
}
