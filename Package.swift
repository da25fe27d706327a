// swift-tools-version: 6.2
import PackageDescription

/// Set by `tools/check` and the continuous integration, not by users: a newer compiler with new
/// warnings must not keep anybody from building.
let warnings: [SwiftSetting] =
  Context.environment["MILLRACE_WARNINGS"] == "error" ? [.treatAllWarnings(as: .error)] : []

/// Every target under `Sources` is held to these rules; `tools/tidy` checks the import table.
let strict: [SwiftSetting] =
  [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .strictMemorySafety(),
  ] + warnings

/// The façade and what it is made of return views whose lifetime depends on their batch.
let facade = strict + [.enableExperimentalFeature("Lifetimes")]

let argumentParser = Target.Dependency.product(
  name: "ArgumentParser", package: "swift-argument-parser")
let systemPackage = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "Metrics", package: "swift-metrics")

let package = Package(
  name: "millrace",
  products: [
    .library(name: "Millrace", targets: ["Millrace"]),
    .library(name: "MillraceTesting", targets: ["MillraceTesting"]),
    .executable(name: "millrace", targets: ["MillraceCommand"]),
    .executable(name: "torture", targets: ["TortureCommand"]),
    .executable(name: "fleet", targets: ["FleetCommand"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"),
  ],
  targets: [
    // Layer 0: words.
    .target(name: "EventModel", swiftSettings: facade),
    .target(name: "CSystemShims"),
    .systemLibrary(
      name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(
      name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

    // Layer 1: mechanisms.
    .target(
      name: "LogFormat", dependencies: ["EventModel", "CSystemShims"], swiftSettings: facade),
    .target(
      name: "BlockCompression", dependencies: ["EventModel", "CLZ4", "CZstd"],
      swiftSettings: strict),
    .target(
      name: "StorageIO", dependencies: ["EventModel", "CSystemShims", systemPackage],
      swiftSettings: strict),

    // Layer 2: the engine.
    .target(
      name: "CommitLog",
      dependencies: [
        "EventModel", "LogFormat", "BlockCompression", "StorageIO", "CSystemShims", systemPackage,
      ],
      swiftSettings: strict),
    .target(
      name: "ConsumerCheckpoints",
      dependencies: ["EventModel", "LogFormat", "StorageIO", systemPackage],
      swiftSettings: strict),
    .target(
      name: "DeviceQueueing", dependencies: ["EventModel", "LogFormat"], swiftSettings: strict),

    // Layer 3: the façade, and what looks at files without the engine.
    .target(
      name: "Millrace",
      dependencies: [
        "EventModel", "LogFormat", "BlockCompression", "StorageIO", "CommitLog",
        "ConsumerCheckpoints", "DeviceQueueing", "CSystemShims", systemPackage, logging, metrics,
      ],
      swiftSettings: facade),
    .target(
      name: "MillraceTesting",
      dependencies: ["Millrace", "EventModel", "StorageIO", systemPackage],
      swiftSettings: strict),
    .target(
      name: "LogInspection",
      dependencies: ["EventModel", "LogFormat", "BlockCompression", "StorageIO", systemPackage],
      swiftSettings: strict),
    .target(
      name: "SimulationKit",
      dependencies: [
        "EventModel", "LogFormat", "BlockCompression", "StorageIO", "CommitLog",
        "ConsumerCheckpoints", systemPackage,
      ],
      swiftSettings: strict),
    .target(
      name: "QueueSimulation",
      dependencies: [
        "Millrace", "SimulationKit", "EventModel", "StorageIO", systemPackage, logging,
      ],
      swiftSettings: strict),

    // Layer 4: tools.
    .target(
      name: "CommandSupport",
      dependencies: ["EventModel", "CZstd", "CZlib", systemPackage, argumentParser],
      path: "tools/millrace/Support", swiftSettings: strict),
    .executableTarget(
      name: "MillraceCommand",
      dependencies: [
        "CommandSupport", "Millrace", "MillraceTesting", "LogInspection", "StorageIO",
        "BlockCompression", "EventModel", "LogFormat", systemPackage, argumentParser, logging,
      ],
      path: "tools/millrace/Command", swiftSettings: strict),
    .executableTarget(
      name: "FleetCommand",
      dependencies: [
        "Millrace", "MillraceTesting", "CommandSupport", argumentParser, systemPackage,
      ],
      path: "tools/fleet", swiftSettings: strict),
    .executableTarget(
      name: "TortureCommand",
      dependencies: ["SimulationKit", "QueueSimulation", argumentParser],
      path: "tools/campaign", swiftSettings: strict),

    // Tests: a folder per module, and families that cross them.
    .testTarget(name: "EventModelTests", dependencies: ["EventModel"]),
    .testTarget(
      name: "LogFormatTests", dependencies: ["LogFormat", "EventModel", "CSystemShims"]),
    .testTarget(name: "BlockCompressionTests", dependencies: ["BlockCompression", "EventModel"]),
    .testTarget(
      name: "StorageIOTests",
      dependencies: ["StorageIO", "SimulationKit", "EventModel", "CSystemShims", systemPackage]),
    .testTarget(
      name: "CommitLogTests",
      dependencies: [
        "CommitLog", "SimulationKit", "StorageIO", "LogFormat", "EventModel", systemPackage,
      ]),
    .testTarget(
      name: "ConsumerCheckpointsTests",
      dependencies: [
        "ConsumerCheckpoints", "SimulationKit", "StorageIO", "LogFormat", "EventModel",
        systemPackage,
      ]),
    .testTarget(
      name: "DeviceQueueingTests",
      dependencies: ["DeviceQueueing", "SimulationKit", "LogFormat", "EventModel"]),
    .testTarget(
      name: "MillraceTests",
      dependencies: [
        "Millrace", "MillraceTesting", "SimulationKit", "StorageIO", "EventModel", "LogFormat",
        systemPackage, logging,
      ]),
    .testTarget(
      name: "LogInspectionTests",
      dependencies: [
        "LogInspection", "Millrace", "CommitLog", "SimulationKit", "LogFormat", "StorageIO",
        "EventModel", "BlockCompression", systemPackage,
      ]),
    .testTarget(
      name: "CrashTests",
      dependencies: [
        "Millrace", "SimulationKit", "CommitLog", "ConsumerCheckpoints", "LogFormat", "StorageIO",
        "LogInspection", "EventModel", systemPackage,
      ]),
    .testTarget(
      name: "SimulationTests",
      dependencies: [
        "SimulationKit", "QueueSimulation", "Millrace", "StorageIO", "EventModel",
      ]),
    .testTarget(
      name: "DamageTests",
      dependencies: [
        "Millrace", "SimulationKit", "CommitLog", "ConsumerCheckpoints", "LogInspection",
        "LogFormat", "StorageIO", "EventModel", systemPackage,
      ]),
    .testTarget(
      name: "GoldenFileTests",
      dependencies: [
        "Millrace", "SimulationKit", "CommitLog", "ConsumerCheckpoints", "LogInspection",
        "LogFormat", "StorageIO", "EventModel", systemPackage,
      ],
      exclude: ["version-1"]),
    .testTarget(
      name: "CommandTests",
      // The tests run the command itself, so that it must be built.
      dependencies: [
        "MillraceCommand", "CommandSupport", "Millrace", "EventModel", "CZstd", "CZlib",
        argumentParser,
      ]),
  ]
)

// Tests keep to the language's defaults, but a warning in one is no less an error.
for target in package.targets where target.type == .test {
  target.swiftSettings = warnings
}

// Fuzzing instruments everything, so its targets are there only when tools/fuzz/run asks for them.
if Context.environment["MILLRACE_FUZZ"] != nil {
  // As under Sources, but for unsafe expressions: a harness may take arrays apart as it likes.
  let fuzzing: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
  ]
  package.targets += [
    .systemLibrary(name: "CFuzzDriver", path: "tools/fuzz/CFuzzDriver"),
    .target(
      name: "FuzzHarness", dependencies: ["CFuzzDriver", "LogFormat", "EventModel"],
      path: "tools/fuzz/FuzzHarness", swiftSettings: fuzzing),
    .executableTarget(
      name: "FuzzDecoders",
      dependencies: ["FuzzHarness", "LogFormat", "BlockCompression", "EventModel"],
      path: "tools/fuzz/FuzzDecoders", swiftSettings: fuzzing),
    .executableTarget(
      name: "FuzzTools",
      dependencies: [
        "FuzzHarness", "LogInspection", "SimulationKit", "CommitLog", "LogFormat", "StorageIO",
        "EventModel", systemPackage,
      ],
      path: "tools/fuzz/FuzzTools", swiftSettings: fuzzing),
  ]
}
