//! Times passes of one model: `cargo run --release --example time -- [edge] [channels] [threads] [isa] [dilation,...] [runs] [fp32|bf16]`.

use meshfl_kernels::isa::chosen::Isa;
use meshfl_kernels::native::session::Session;
use meshfl_kernels::peak;
use meshfl_kernels::request::{Request, FORWARD, TRAIN};
use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u32| arguments.get(index).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (edge, channels, threads) = (number(0, 96), number(1, 5), number(2, 1));
    let precision = u32::from(arguments.get(6).is_some_and(|word| word == "bf16"));
    let isa = Isa::of(precision)
        .find(|isa| arguments.get(3).is_none_or(|name| isa.name() == name))
        .expect("an instruction set of this CPU");
    let dilations: Vec<u32> = arguments
        .get(4)
        .map_or(vec![1, 2, 4, 8, 16, 8, 4, 2, 1], |words| words.split(',').map(|word| word.parse().unwrap()).collect());
    let mut request = Request {
        channels,
        classes: 3,
        blocks: dilations.len() as u32,
        convolution_bias: 1,
        threads,
        precision,
        ..Request::EMPTY
    };
    request = Request { depth: edge, height: edge, width: edge, ..request };
    request.dilations[..dilations.len()].copy_from_slice(&dilations);
    let peak = peak::flops(isa, threads as usize) / 1e9;
    println!("{} x{threads}: multiply-adds at {peak:.0} GFLOP/s", isa.name());
    let session = Session::create(isa, threads as usize).unwrap();
    let voxels = f64::from(edge).powi(3);
    let convolutions = 27.0 * f64::from(channels) * (1.0 + f64::from(channels) * (dilations.len() - 1) as f64);
    let head = 3.0 * f64::from(channels);
    for (what, mode, share) in [("forward", FORWARD, 1.0), ("step", TRAIN, 3.0)] {
        let request = Request { mode, ..request };
        let bytes = session.plan(&request).unwrap();
        session.prepare(&request).unwrap();
        let count = plan_parameters(&request);
        let parameters: Vec<f32> = (0..count).map(|i| 0.2 * ((i * 2654435761) % 1000) as f32 / 1000.0 - 0.08).collect();
        let write = |region: u32, bytes: &[u8]| unsafe { session.write(region, bytes.as_ptr(), bytes.len()).unwrap() };
        write(0, unsafe { std::slice::from_raw_parts(parameters.as_ptr().cast(), 4 * count) });
        write(1, &1.0f32.to_le_bytes().repeat(2 * (channels * request.blocks) as usize));
        if mode == TRAIN {
            write(2, &1.0f32.to_le_bytes().repeat((channels * request.blocks) as usize));
            write(5, &(0..voxels as usize).map(|i| (i / 7 % 3) as u8).collect::<Vec<_>>());
        }
        write(3, &[0.2f64, 1.0, 0.8, 0.01].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
        write(4, &(0..voxels as usize).map(|i| (i * i / 5) as u8).collect::<Vec<_>>());
        let (mut best, mut cpu) = (f64::MAX, f64::MAX);
        for _ in 0..number(5, 4) {
            let (start, before) = (Instant::now(), processor_seconds());
            session.run().unwrap();
            best = best.min(start.elapsed().as_secs_f64());
            cpu = cpu.min((processor_seconds() - before) / f64::from(threads));
        }
        let gflop = 2e-9 * share * voxels * (convolutions + head);
        println!(
            "{what}: {best:.4} s, processor {cpu:.4} s a thread, {:.0} GFLOP/s, {:.0} % of peak, {:.2} GB",
            gflop / cpu,
            100.0 * gflop / cpu / peak,
            bytes as f64 / 1e9
        );
    }
}

fn plan_parameters(request: &Request) -> usize {
    Isa::Portable.plan(request).parameter_count()
}

/// Of all threads; wall time says little on a machine that is shared.
fn processor_seconds() -> f64 {
    extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    let mut time = [0i64; 2];
    unsafe { clock_gettime(2, &mut time) };
    time[0] as f64 + 1e-9 * time[1] as f64
}
