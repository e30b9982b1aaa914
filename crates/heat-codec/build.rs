//! Compiles `schemas/envelope.proto`, and `schemas/sparkplug_b.proto` for the tests of its decoder; protox needs no
//! protoc on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "../../schemas";
    let schemas = ["envelope.proto", "sparkplug_b.proto"].map(|name| format!("{folder}/{name}"));
    for schema in &schemas {
        println!("cargo::rerun-if-changed={schema}");
    }
    let files = protox::compile(&schemas, [folder])?;
    prost_build::Config::new()
        .bytes([
            ".heatstream.v1.Readings.signal_set",
            ".heatstream.v1.Readings.quality",
            ".heatstream.v1.Readings.code",
            ".heatstream.v1.DeadLetter.payload",
            ".heatstream.v1.RequeueRequest.payload",
        ])
        .compile_fds(files)?;
    Ok(())
}
