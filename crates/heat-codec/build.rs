//! Compiles `schemas/envelope.proto`; protox needs no protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "../../schemas";
    println!("cargo::rerun-if-changed={folder}/envelope.proto");
    let files = protox::compile([format!("{folder}/envelope.proto")], [folder])?;
    prost_build::Config::new()
        .bytes([
            ".heatstream.v1.Readings.signal_set",
            ".heatstream.v1.Readings.quality",
            ".heatstream.v1.Readings.code",
            ".heatstream.v1.DeadLetter.payload",
        ])
        .compile_fds(files)?;
    Ok(())
}
