//! The control call's requests.

use fuzz::{Noise, damage, run};
use monitor::control::Request;

const REQUESTS: [&str; 6] = [
    r#"{"op":"probe"}"#,
    r#"{"op":"add_service","name":"umfuse","permanent":false}"#,
    r#"{"op":"del_service","name":"umfuse"}"#,
    r#"{"op":"alias","alias":"ext2","fs_type":"umfuseext2"}"#,
    r#"{"op":"attach","pid":12345}"#,
    r#"{"op":"new_view","name":"a name"}"#,
];

#[test]
fn any_bytes_are_a_request_or_none() {
    run("requests", |number| {
        let mut noise = Noise::new(number);
        let mut bytes = REQUESTS[noise.below(REQUESTS.len())].as_bytes().to_vec();
        if noise.chance(10) {
            bytes = b"[".repeat(noise.below(100_000));
        }
        damage(&mut bytes, &mut noise);
        if let Ok(request) = serde_json::from_slice::<Request>(&bytes) {
            let text = serde_json::to_string(&request).expect("a request can be written");
            assert_eq!(serde_json::from_str::<Request>(&text).ok(), Some(request), "{text}");
        }
    });
}

#[test]
fn undamaged_requests_are_understood() {
    for text in REQUESTS {
        assert!(serde_json::from_str::<Request>(text).is_ok(), "{text}");
    }
}
