//! The whole program on every instruction set of this machine: gradients against differences of the loss, threads against one.

use meshfl_kernels::isa::chosen::Isa;
use meshfl_kernels::plan::Region;
use meshfl_kernels::request::{Request, BATCH_NORM, BF16, ELU, EVALUATE, FP32, GELU, NO_NORM, RELU, TRAIN};
use meshfl_kernels::team::{Team, BAD_LABEL, CANCELLED, DONE};

struct Case {
    isa: Isa,
    request: Request,
    parameters: Vec<f32>,
    images: Vec<f32>,
    truth: Vec<u8>,
}

struct Outcome {
    ended: u32,
    loss: f64,
    gradients: Vec<f32>,
}

/// Numbers in [-1, 1) that depend on the index alone.
fn noise(index: usize) -> f32 {
    let mixed = (index as u32).wrapping_mul(2654435761).rotate_left(13).wrapping_mul(2246822519);
    (mixed >> 8) as f32 / (1 << 23) as f32 - 1.0
}

fn case(isa: Isa, activation: u32, normalization: u32, channels: u32) -> Case {
    let mut request = Request {
        mode: TRAIN,
        channels,
        classes: 3,
        blocks: 4,
        activation,
        normalization,
        convolution_bias: 1,
        ..Request::EMPTY
    };
    request = Request { volumes: 2, depth: 9, height: 6, width: 7, float_images: 1, ..request };
    request.dilations[..4].copy_from_slice(&[1, 2, 3, 1]);
    let plan = isa.plan(&request);
    let voxels = plan.volumes() * plan.voxels();
    Case {
        isa,
        request,
        parameters: (0..plan.parameter_count()).map(|i| 0.3 * noise(i) + 0.05).collect(),
        images: (0..voxels).map(|i| noise(i + 77)).collect(),
        truth: (0..voxels).map(|i| (i * i % 3) as u8).collect(),
    }
}

fn compute(case: &Case, threads: u32, prepare: impl Fn(&Team)) -> Outcome {
    let request = Request { threads, ..case.request };
    let plan = case.isa.plan(&request);
    let mut memory = vec![0u64; plan.offset(Region::End) as usize / 8 + 8];
    let base = (memory.as_mut_ptr() as usize).next_multiple_of(64);
    let at = |region: Region| (base + plan.offset(region) as usize) as *mut u8;
    let factors = vec![1.0f32; plan.volumes() * plan.blocks() * plan.channels()];
    unsafe {
        at(Region::Parameters).cast::<f32>().copy_from(case.parameters.as_ptr(), case.parameters.len());
        at(Region::Images).cast::<f32>().copy_from(case.images.as_ptr(), case.images.len());
        at(Region::Truth).copy_from(case.truth.as_ptr(), case.truth.len());
        if request.mode == TRAIN {
            at(Region::Dropout).cast::<f32>().copy_from(factors.as_ptr(), factors.len());
        }
        at(Region::Loss).cast::<f64>().copy_from([0.2, 1.0, 0.8, 0.01].as_ptr(), 4);
    }
    let team = Team::new();
    team.reset();
    prepare(&team);
    let ended = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads as usize)
            .map(|thread| {
                scope.spawn({
                    let (plan, team) = (&plan, &team);
                    move || unsafe { case.isa.run(plan, base, team, thread) }
                })
            })
            .collect();
        let ended = unsafe { case.isa.run(&plan, base, &team, 0) };
        assert!(others.into_iter().all(|other| other.join().unwrap() == ended));
        ended
    });
    let gradients = if request.mode == TRAIN { plan.parameter_count() } else { 0 };
    unsafe {
        Outcome {
            ended,
            loss: at(Region::Score).cast::<f64>().read(),
            gradients: std::slice::from_raw_parts(at(Region::Gradients).cast(), gradients).to_vec(),
        }
    }
}

#[test]
fn gradients_are_the_differences_of_the_loss() {
    let models = [(ELU, BATCH_NORM, 5), (GELU, NO_NORM, 3), (ELU, NO_NORM, 7), (RELU, NO_NORM, 1)];
    for (isa, (activation, normalization, channels)) in Isa::of(FP32).flat_map(|isa| models.map(|model| (isa, model))) {
        let mut case = case(isa, activation, normalization, channels);
        let gradients = compute(&case, 1, |_| ()).gradients;
        let length = gradients.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
        // Along the gradient the loss changes by its length; one direction sees every parameter.
        let h = 2e-3 / length;
        let mut ends = [0.0; 2];
        let start = case.parameters.clone();
        for (end, sign) in ends.iter_mut().zip([-1.0, 1.0]) {
            for (p, (s, g)) in case.parameters.iter_mut().zip(start.iter().zip(&gradients)) {
                *p = (f64::from(*s) + sign * h * f64::from(*g)) as f32;
            }
            *end = compute(&case, 1, |_| ()).loss;
        }
        let slope = (ends[1] - ends[0]) / (2.0 * h) / length;
        assert!((slope / length - 1.0).abs() < 0.02, "{isa:?} {activation} {normalization} {channels}: {slope} against {length}");
    }
}

#[test]
fn gradients_in_bf16_point_where_those_in_fp32_do() {
    let models = [(ELU, BATCH_NORM, 5), (GELU, NO_NORM, 3), (ELU, NO_NORM, 7), (RELU, BATCH_NORM, 1), (ELU, BATCH_NORM, 21)];
    for (activation, normalization, channels) in models {
        let truth = compute(&case(Isa::Portable, activation, normalization, channels), 1, |_| ());
        for isa in Isa::of(BF16) {
            let mut case = case(isa, activation, normalization, channels);
            case.request.precision = BF16;
            let found = compute(&case, 2, |_| ());
            let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let (a, b) = (&found.gradients, &truth.gradients);
            let cosine = product(a, b) / (product(a, a) * product(b, b)).sqrt();
            assert!(cosine > 0.999, "{isa:?} {activation} {normalization} {channels}: {cosine}");
            assert!((found.loss / truth.loss - 1.0).abs() < 0.01, "{isa:?}: {} against {}", found.loss, truth.loss);
        }
    }
}

#[test]
fn threads_and_recomputing_do_not_change_a_bit() {
    for (isa, precision) in [FP32, BF16].into_iter().flat_map(|precision| Isa::of(precision).map(move |isa| (isa, precision))) {
        let mut case = case(isa, ELU, BATCH_NORM, 6);
        case.request.precision = precision;
        let alone = compute(&case, 1, |_| ());
        assert_eq!(alone.ended, DONE);
        for (threads, kept_low) in [(2, 0b1111), (3, 0), (1, 0b0001), (4, 0b0010), (2, 0b0100), (3, 0b0101)] {
            case.request.kept_low = kept_low;
            let together = compute(&case, threads, |_| ());
            assert_eq!((together.loss.to_bits(), together.gradients), (alone.loss.to_bits(), alone.gradients.clone()));
        }
    }
}

#[test]
fn all_threads_agree_on_why_they_stopped() {
    let mut case = case(Isa::Portable, RELU, NO_NORM, 2);
    assert_eq!(compute(&case, 3, |team| team.cancel.store(1, std::sync::atomic::Ordering::SeqCst)).ended, CANCELLED);
    case.truth[5] = 3;
    assert_eq!(compute(&case, 3, |_| ()).ended, BAD_LABEL);
    case.request.mode = EVALUATE;
    assert_eq!(compute(&case, 2, |_| ()).ended, BAD_LABEL);
}
