//! `layertime verify`: does the device compute right?

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use super::UsageError;
use crate::cli::VerifyArgs;
use layertime::device::{self, Opened};
use layertime::report::verify;
use layertime::stderr::say;
use layertime::verify::{Request, run as check};

pub fn run(mut args: VerifyArgs) -> Result<ExitCode> {
    args.device.settle_precision().map_err(UsageError)?;
    let room = args.room.room();
    let request = Request {
        model: args.model,
        batch: args.batch,
        image: args.image.map(|size| size.0),
        precision: args.device.precision,
        input_gradient: args.input_gradient,
        training: args.training.constants(),
        reference: args.reference,
    };
    // A mistake in the description shows before any device is opened.
    if request.reference.is_none() {
        request.plan()?;
    }
    let Opened { device, no_gpu } = device::open(args.device.device, &args.device.options())?;
    no_gpu.iter().for_each(|why| say(format!("on the CPU: {why}")));
    let report = check(device.as_ref(), &request)?;
    std::io::stdout().lock().write_all(verify::text(&report, room).as_bytes())?;
    Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
