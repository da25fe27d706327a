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
    // Called by a harness as it calls the engines beside which the store is measured.
    .executableTarget(
      name: "PeerDriver",
      dependencies: ["BareLoop", .product(name: "Millrace", package: "millrace")]),
  ]
)
