//! What malha decides before a request: reading the manifests.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use malha_manifest::{Input, check_references, load};

fn manifests(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("hello/k8s");
    let workshop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../k8s");
    for (name, folder) in [("hello, 4 objects", folder), ("k8s/, the workshop", workshop)] {
        // Keys are not in git; without them the workshop would be measured with an error in it.
        if load(&[Input::Kustomize(folder.clone())]).has_errors() {
            continue;
        }
        criterion.bench_function(&format!("load manifests: {name}"), |bencher| {
            bencher.iter(|| {
                let loaded = load(&[Input::Kustomize(folder.clone())]);
                black_box(check_references(&loaded.objects));
                black_box(loaded.objects.len())
            });
        });
    }
}

criterion_group!(benches, manifests);
criterion_main!(benches);
