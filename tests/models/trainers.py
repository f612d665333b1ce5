"""A trainer that is quiet and leaves nothing behind."""

import lightning as L


def quiet_trainer(folder, *, steps, **options):
    return L.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        **options,
    )
