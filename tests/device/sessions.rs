//! One body of tests for every device: the CPU, and under softcuda, where this runs once more, the GPU too.

use layertime::device::options::{Choice, DeviceOptions, Launch, Layout};
use layertime::device::{self, Device, DeviceError, Session, Tensor, Training, in_session};
use layertime::init;
use layertime::model::Model;
use layertime::plan::{self, Plan, Precision};
use layertime::step::Step;
use softcuda::Softcuda;

const TRAINING: Training = Training { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, seed: 1, dropout: true };

/// Set in the process that runs on softcuda.
const WITH_CUDA: &str = "LAYERTIME_TEST_CUDA";

fn devices() -> Vec<Box<dyn Device>> {
    let threads =
        [1, 2].map(|threads| (Choice::Cpu, DeviceOptions { threads: Some(threads), ..DeviceOptions::default() }));
    let layouts = [Layout::Nchw, Layout::Nhwc];
    let gpu =
        layouts.map(|layout| (Choice::Cuda(0), DeviceOptions { layout: Some(layout), ..DeviceOptions::default() }));
    let here = threads.into_iter().chain(gpu.into_iter().filter(|_| std::env::var_os(WITH_CUDA).is_some()));
    here.map(|(choice, options)| device::open(choice, &options).unwrap().device).collect()
}

#[test]
fn the_same_on_a_gpu() {
    if std::env::var_os(WITH_CUDA).is_some() {
        return;
    }
    let mut command = Softcuda::new().strict(true).command(std::env::current_exe().unwrap()).unwrap();
    let output = command.arg("sessions::").env("LAYERTIME_KERNELS", "committed").env(WITH_CUDA, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("sessions::the_same_on_a_gpu ... ok"), "{text}");
}

fn step(model: &str, batch: usize) -> Step {
    let options = plan::Options::of_batch(batch);
    Step::new(Plan::new(&Model::named(model).unwrap(), options).unwrap())
}

/// Opens a session on every device, fills it, and does something with it.
fn on_every_device(step: &Step, training: Training, body: impl Fn(&mut dyn Session) + Sync) {
    for device in devices() {
        let done: Result<(), DeviceError> = in_session(device.as_ref(), step, training, |session| {
            init::fill(session, &step.plan, &training)?;
            body(session);
            Ok(())
        });
        done.unwrap();
    }
}

/// The fixed batch is learnt: mean cross-entropy begins near ln(classes), as untrained networks have it, and falls.
#[test]
fn loss_falls_from_that_of_a_guess() {
    let step = step("tiny", 8);
    on_every_device(&step, TRAINING, |session| {
        let losses: Vec<f32> = (0..200)
            .map(|_| {
                step.plain(session).unwrap();
                session.read(Tensor::Loss).unwrap()[0]
            })
            .collect();
        assert!((losses[0] - 10f32.ln()).abs() < 0.5, "{}", losses[0]);
        let last = losses[190..].iter().sum::<f32>() / 10.0;
        assert!(last < 0.5 * losses[0], "{last} after {}", losses[0]);
    });
}

/// Twenty steps on a fixed batch: every device takes the same way down.
#[test]
fn devices_learn_alike() {
    let step = step("tiny", 8);
    let ways = std::sync::Mutex::new(Vec::new());
    on_every_device(&step, TRAINING, |session| {
        let losses = (0..20).map(|_| {
            step.plain(session).unwrap();
            f64::from(session.read(Tensor::Loss).unwrap()[0])
        });
        ways.lock().unwrap().push(losses.collect::<Vec<f64>>());
    });
    let ways = ways.into_inner().unwrap();
    for way in &ways {
        assert!(way.last() < way.first(), "{way:?}");
        for (loss, first) in way.iter().zip(&ways[0]) {
            assert!((loss / first - 1.0).abs() < 1e-3, "{way:?} is not {:?}", ways[0]);
        }
    }
}

/// Two sessions with one seed do the same; another seed, another image and another mask.
#[test]
fn a_seed_decides_everything() {
    let step = step("tiny", 3);
    let drawn = |training: Training| {
        let results = std::sync::Mutex::new(Vec::new());
        on_every_device(&step, training, |session| {
            step.plain(session).unwrap();
            let drop6 = step.plan.layers.iter().position(|layer| layer.name == "drop6").unwrap();
            let tensors = [Tensor::Input, Tensor::Labels, Tensor::Mask(drop6)];
            results.lock().unwrap().push(tensors.map(|tensor| session.read(tensor).unwrap()));
        });
        results.into_inner().unwrap()
    };
    let (first, other) = (drawn(TRAINING), drawn(Training { seed: 2, ..TRAINING }));
    assert!(first.windows(2).all(|pair| pair[0] == pair[1]), "devices draw the same bits");
    assert!(first[0].iter().zip(&other[0]).all(|(one, two)| one != two));
}

#[test]
fn a_tensor_reads_back_in_canonical_order() {
    let step = step("tiny", 2);
    on_every_device(&step, TRAINING, |session| {
        for (index, layer) in step.plan.layers.iter().enumerate().filter(|(_, layer)| layer.weights > 0) {
            for (tensor, elements) in [(Tensor::Weight(index), layer.weights), (Tensor::Bias(index), layer.biases)] {
                session.fill(tensor, &|element| element as f32).unwrap();
                let expected: Vec<f32> = (0..elements).map(|element| element as f32).collect();
                assert_eq!(session.read(tensor).unwrap(), expected, "{} {tensor:?}", layer.name);
            }
        }
    });
}

/// Marks own all of the step's time: their gaps are as many as the operations and one empty phase.
#[test]
fn every_operation_has_a_duration() {
    let step = step("tiny", 4);
    on_every_device(&step, TRAINING, |session| {
        let sample = step.timed(session).unwrap();
        assert_eq!(sample.phases_us.len(), step.ops.len());
        assert!(sample.phases_us.iter().all(|&duration| duration > 0.0) && sample.mark_us >= 0.0);
    });
}

/// A host that holds a GPU's stream and never comes back, as a driver's own waiting can make it: after two seconds the watchdog lets
/// the stream go, and the device's notes say so. Devices that hold nothing have nothing to note.
#[test]
fn a_hold_that_lasts_is_ended_and_noted() {
    let step = step("tiny", 1);
    for device in devices() {
        let launch = device.info().launch;
        let done: Result<(), DeviceError> = in_session(device.as_ref(), &step, TRAINING, |session| {
            init::fill(session, &step.plan, &TRAINING)?;
            session.set_launch(launch);
            step.plain(session)?;
            assert_eq!(device.notes(), Vec::<String>::new());
            if launch == Launch::Queued {
                session.begin()?;
                let begin = std::time::Instant::now();
                while device.notes().is_empty() && begin.elapsed().as_secs() < 60 {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
                assert!(device.notes().join("\n").contains("a held step was let go"), "{:?}", device.notes());
                session.end()?;
            }
            Ok(())
        });
        done.unwrap();
    }
}

#[test]
fn what_cannot_fit_is_refused_before_it_is_touched() {
    let step = step("tiny", 1 << 20);
    let options = plan::Options { image: Some([512, 512]), ..plan::Options::of_batch(1 << 20) };
    let large = Step::new(Plan::new(&step.plan.model, options).unwrap());
    for device in devices() {
        let refused = device.with_session(&large, TRAINING, &mut |_| unreachable!("it cannot fit")).err();
        assert!(matches!(refused, Some(DeviceError::OutOfMemory { .. })), "{refused:?}");
    }
}

/// A plan for f16 in a session of f32 would train without loss scaling.
#[test]
fn a_plan_of_another_precision_is_refused() {
    let model = Model::named("tiny").unwrap();
    let options = plan::Options { precision: Precision::F16, ..plan::Options::of_batch(1) };
    let half = Step::new(Plan::new(&model, options).unwrap());
    for device in devices() {
        let refused = device.with_session(&half, TRAINING, &mut |_| unreachable!("it is refused")).unwrap_err();
        assert_eq!(refused.to_string(), "the plan is for f16, but the device was opened for f32: plan for f32");
    }
}
