//! The real kubectl against malha, as people type it.
//!
//! What they type and what comes is in `transcripts/`, a file a subject; `transcript.rs` says how they are read. Each has
//! a cluster of its own with the workshop in it. `TRANSCRIPTS=write cargo test -p malha --test it kubectl` writes down
//! what came instead of comparing; look at the difference before you believe it.
//!
//! kubectl is another process: nobody can pause its time. No transcript waits for the clock, only for what kubectl waits
//! for (`kubectl wait`, `rollout status`).

mod cluster;
mod load;
mod transcript;

use transcript::play;

macro_rules! transcripts {
    ($($name:ident $(($nodes:literal nodes))?)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            play(stringify!($name), [$($nodes,)? 1][0]).await;
        })*

        #[test]
        fn every_transcript_is_played() {
            let mut files: Vec<String> = std::fs::read_dir(transcript::FOLDER)
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            files.sort();
            let mut names = vec![$(stringify!($name).to_owned()),*];
            names.sort();
            assert_eq!(files, names);
        }
    };
}

transcripts! {
    applying
    configuration
    deleting
    describing
    errors
    explaining
    getting
    logs
    nodes(3 nodes)
    patching
    pods_that_cannot_run
    port_forward
    releasing
    rollouts
    scaling
    server_side_apply
    services
    the_workshop
    watching
}
