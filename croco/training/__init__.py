"""Preference training: batches, the LightningModule, the reference. The only place that imports lightning and peft."""
