// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "millrace-benchmarks",
  dependencies: [.package(name: "millrace", path: "..")],
  targets: [
    // Counts the calls of malloc and its relatives, by thread.
    .target(name: "AllocationCount"),
    // What a loop without an engine costs: the same compression, checksum, write and sync.
    .target(name: "BareLoop", linkerSettings: [.linkedLibrary("lz4")]),
    .executableTarget(
      name: "ratios",
      dependencies: [
        "AllocationCount", "BareLoop",
        .product(name: "Millrace", package: "millrace"),
        .product(name: "MillraceTesting", package: "millrace"),
      ],
      path: "Sources/Ratios"),
    .executableTarget(
      name: "reading",
      dependencies: [
        .product(name: "Millrace", package: "millrace"),
        .product(name: "MillraceTesting", package: "millrace"),
      ],
      path: "Sources/Reading"),
    .executableTarget(
      name: "queues",
      dependencies: [
        "BareLoop",
        .product(name: "Millrace", package: "millrace"),
        .product(name: "MillraceTesting", package: "millrace"),
      ],
      path: "Sources/Queues"),
    // The engines beside which the store is measured: Debian's libraries, installed by tools/bench.
    .executableTarget(
      name: "peers", dependencies: ["BareLoop"], path: "Sources/Peers",
      linkerSettings: ["rocksdb", "lmdb", "sqlite3", "lz4", "zstd"].map { .linkedLibrary($0) }),
    // Called by a harness as it calls the engines beside which the store is measured.
    .executableTarget(
      name: "PeerDriver",
      dependencies: [
        "BareLoop",
        .product(name: "Millrace", package: "millrace"),
        .product(name: "MillraceTesting", package: "millrace"),
      ]),
  ],
  // C++20 would take the C header for a module.
  cxxLanguageStandard: .cxx17
)
