"""Search of settings: `kerasft tune`. KerasTuner proposes, subprocesses try, validation decides."""
