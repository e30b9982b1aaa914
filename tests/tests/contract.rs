//! The API answers as its OpenAPI document says, whatever it is asked.

use std::{fs, path::Path, process::Command, time::Duration};

use heat_tests::{free_port, heatstream::Running, mqtt, now_us, python::Python, site::Site};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_describe() {
    let Some(python) = Python::find() else { return };
    let site = Site::new("");
    let mut up = site.start();
    let mut client = mqtt::Client::connect(site.mqtt, "meter-1", true).unwrap();
    let payload = format!("{{\"time\": {}, \"values\": {{\"supply_temperature\": 81.2}}}}", now_us() / 1_000);
    client.publish_acknowledged("heat/v1/town/st01/meter", payload.as_bytes(), SOON).unwrap();
    let ticket = format!(
        "{{\"id\": \"t1\", \"time\": {}, \"kind\": \"cold\", \"network\": \"town\"}}",
        now_us() / 1_000
    );
    client.publish_acknowledged("heat/v1/tickets", ticket.as_bytes(), SOON).unwrap();
    let base = format!("http://127.0.0.1:{}", site.api);
    up.wait_until("the ticket is there", SOON, |_| {
        heat_tests::site::get(&format!("{base}/api/v1/tickets")).is_some_and(|text| text.contains("\"t1\""))
    });

    // Streams have no end; `audit` reads the whole archive.
    let document = format!("{base}/api/v1/openapi.json");
    let given = ["--exclude-path-regex", "/(events|audit)$"];
    schemathesis(&python, site.data_dir().as_path(), &document, &given);
    up.stop().ended_with(0);
}

/// A fixed seed: what CI finds, everybody finds. A history's path has a pattern that is met by few of the texts that are
/// tried.
#[track_caller]
fn schemathesis(python: &Python, folder: &Path, document: &str, more: &[&str]) {
    let output = Command::new(python.tool("schemathesis"))
        .args(["run", document, "--seed", "1", "--max-examples", "5"])
        .args(["--phases", "coverage,fuzzing", "--continue-on-failure", "--warnings", "off", "--no-shrink"])
        .args(["--suppress-health-check", "all", "--checks", CHECKS, "--request-timeout", "20"])
        .args(more)
        .current_dir(folder)
        .output()
        .expect("schemathesis can be run");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("passed"), "it tested something: {said}");
}

/// The token's SHA-256 is that of "abc" (FIPS 180-4).
const USERS: &str = "duty admin ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
const TOKEN: &str = "abc";

/// An answer to somebody who is known.
fn ask(api: u16, path: &str) -> Value {
    let request = ureq::get(format!("http://127.0.0.1:{api}/api/v1/{path}"));
    let answer = request.header("authorization", format!("Bearer {TOKEN}")).call();
    answer.ok().and_then(|mut answer| answer.body_mut().read_json().ok()).unwrap_or_default()
}

/// The document with ids that exist, beside one that does not: made-up ids would find nothing.
fn with_ids(document: &mut Value, incident: &str, network: &str, signal: &str) {
    let paths = document["paths"].as_object_mut().expect("a document has paths");
    for (path, item) in paths {
        let known = match path.split('/').nth(3) {
            Some("incidents") => incident,
            Some("networks") => network,
            Some("signals") => signal,
            _ => continue,
        };
        let shared = item.get("parameters").cloned();
        for (_, operation) in
            item.as_object_mut().into_iter().flatten().filter(|(key, _)| *key != "parameters")
        {
            let mut parameters = operation.get("parameters").or(shared.as_ref()).cloned().unwrap_or_default();
            for parameter in parameters.as_array_mut().into_iter().flatten() {
                if parameter["name"] == "id" {
                    parameter["schema"] = json!({ "type": "string", "enum": [known, "0000000000000000"] });
                }
            }
            if !parameters.is_null() {
                operation["parameters"] = parameters;
            }
        }
    }
}

#[test]
fn known_users_get_what_the_document_describes_of_incidents_city_and_audit() {
    let Some(python) = Python::find() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("tokens"), USERS).unwrap();
    let (mqtt, api, admin) = (free_port(), free_port(), free_port());
    let config = format!(
        "[gateway.listen]\naddress = \"127.0.0.1:{mqtt}\"\n[api]\naddress = \"127.0.0.1:{api}\"\ntokens_file = {:?}\n\
         [admin]\naddress = \"127.0.0.1:{admin}\"\n[logging]\nfilter = \"warn\"\n",
        at("tokens")
    );
    fs::write(at("up.toml"), config).unwrap();
    let arguments = ["up".into(), "--config".into(), at("up.toml").into_os_string(), "--data-dir".into()];
    let more = [at("data").into_os_string(), "--history-days".into(), "1".into()];
    let mut up = Running::start("demo", arguments.into_iter().chain(more));
    let mut burst = Value::Null;
    up.wait_until("the API shows a burst", Duration::from_secs(600), |_| {
        burst = ask(api, "incidents?class=burst")["items"][0].clone();
        burst.is_object()
    });

    let mut document = ask(api, "openapi.json");
    let network = burst["network"].as_str().unwrap();
    let signals = ask(api, &format!("signals?network={network}&limit=1"));
    let signal = signals["items"][0]["id"].as_str().unwrap();
    with_ids(&mut document, burst["id"].as_str().unwrap(), network, signal);
    fs::write(at("openapi.json"), document.to_string()).unwrap();
    let (url, token) = (format!("http://127.0.0.1:{api}"), format!("Authorization: Bearer {TOKEN}"));
    // What a stream or a requeue is has tests of its own.
    let given = ["--url", &url, "--header", &token, "--exclude-path-regex", "/(events|requeue)$"];
    schemathesis(&python, folder.path(), at("openapi.json").to_str().unwrap(), &given);
    up.stop().ended_with(0);
}
