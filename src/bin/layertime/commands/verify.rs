//! `layertime verify`: does the device compute right?

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use super::UsageError;
use crate::cli::VerifyArgs;
use layertime::device::options::Choice;
use layertime::device::{self, Opened, cpu};
use layertime::report::table::Room;
use layertime::report::verify;
use layertime::stderr::say;
use layertime::verify::ranks::run as of_ranks;
use layertime::verify::{Report, Request, run as check};

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
    if let Some(ranks) = args.ranks {
        let mut options = args.device.options();
        // All ranks compute at the same time.
        options.threads.get_or_insert(cpu::processor_threads().div_ceil(ranks));
        if let Choice::Cuda(_) = args.device.device {
            return Err(UsageError("more than one rank trains on the CPU alone: give --device cpu".into()).into());
        }
        return print(&of_ranks(&request, ranks, &options)?, room);
    }
    let Opened { device, no_gpu } = device::open(args.device.device, &args.device.options())?;
    no_gpu.iter().for_each(|why| say(format!("on the CPU: {why}")));
    print(&check(device.as_ref(), &request)?, room)
}

fn print(report: &Report, room: Room) -> Result<ExitCode> {
    std::io::stdout().lock().write_all(verify::text(report, room).as_bytes())?;
    Ok(if report.passes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
