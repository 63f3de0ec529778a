//! Prints the shares of convolutions and fully connected layers in a training step of a described network:
//! `cargo run --release --example shares -- net.toml 32`

use layertime::{Group, Model, Profiler};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [file, batch] = [1, 2].map(|index| std::env::args().nth(index));
    let model = Model::open(&file.ok_or("give a description: net.toml")?)?;
    let profile = Profiler::new(model).batch(batch.unwrap_or("1".into()).parse()?).run()?;
    println!("conv {:.1} %, fc {:.1} %", profile.share(Group::Conv), profile.share(Group::Fc));
    Ok(())
}
